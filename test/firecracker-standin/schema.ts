// The bodies of Firecracker's API and the sections of its configuration file: types, required fields, and no field
// that it does not know.

/** Thrown where the real one answers 400 (or ends with 152 for its configuration file). */
export class BodyError extends Error {}

export type Body = Readonly<Record<string, unknown>>;
type Check = (value: unknown) => boolean;

interface Field {
  readonly check: Check;
  readonly required: boolean;
}

const uint =
  (most: number): Check =>
  (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most;
const text: Check = (value) => typeof value === "string";
const bool: Check = (value) => typeof value === "boolean";
const object: Check = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const oneOf =
  (...words: string[]): Check =>
  (value) =>
    words.includes(String(value));

const u64 = uint(Number.MAX_SAFE_INTEGER);
/** Null where it may be left out, as of every optional field. */
const fields =
  (required: Record<string, Check>, optional: Record<string, Check>): Check =>
  (value) =>
    object(value) &&
    Object.keys(required).every((name) => name in (value as Body)) &&
    Object.entries(value as Body).every(
      ([name, content]) =>
        required[name]?.(content) ??
        (content === null ? name in optional : (optional[name]?.(content) ?? false)),
    );
/** The real one ignores what it does not know in a bucket; here it is a mistake. */
const bucket = fields({ size: u64, refill_time: u64 }, { one_time_burst: u64 });
const rateLimiter = fields({}, { bandwidth: bucket, ops: bucket });

const must = (check: Check): Field => ({ check, required: true });
const may = (check: Check): Field => ({ check: (value) => value === null || check(value), required: false });

const SHAPES = {
  "boot-source": { kernel_image_path: must(text), initrd_path: may(text), boot_args: may(text) },
  "machine-config": {
    vcpu_count: must(uint(255)),
    mem_size_mib: must(uint(Number.MAX_SAFE_INTEGER)),
    // No null: the one field for which the real one refuses it.
    smt: { check: bool, required: false },
    cpu_template: may(oneOf("C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None")),
    track_dirty_pages: may(bool),
    huge_pages: may(oneOf("None", "2M")),
  },
  drive: {
    drive_id: must(text),
    is_root_device: must(bool),
    path_on_host: may(text),
    partuuid: may(text),
    is_read_only: may(bool),
    cache_type: may(oneOf("Unsafe", "Writeback")),
    io_engine: may(oneOf("Sync", "Async")),
    rate_limiter: may(rateLimiter),
    socket: may(text),
  },
  "network-interface": {
    iface_id: must(text),
    host_dev_name: must(text),
    guest_mac: may((value) => /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(String(value))),
    mtu: may(uint(65535)),
    rx_rate_limiter: may(rateLimiter),
    tx_rate_limiter: may(rateLimiter),
  },
  vsock: { guest_cid: must(uint(0xffffffff)), uds_path: must(text), vsock_id: may(text) },
  balloon: {
    amount_mib: must(uint(0xffffffff)),
    deflate_on_oom: must(bool),
    stats_polling_interval_s: may(uint(65535)),
    free_page_hinting: may(bool),
    free_page_reporting: may(bool),
  },
  "drive-update": { drive_id: must(text), path_on_host: may(text), rate_limiter: may(rateLimiter) },
  "network-update": {
    iface_id: must(text),
    rx_rate_limiter: may(rateLimiter),
    tx_rate_limiter: may(rateLimiter),
  },
  "balloon-statistics": { stats_polling_interval_s: must(uint(65535)) },
  "snapshot-create": {
    snapshot_path: must(text),
    mem_file_path: must(text),
    snapshot_type: may(oneOf("Full", "Diff")),
  },
  "snapshot-load": {
    snapshot_path: must(text),
    // The one or the other in the real one; kiln knows the new form.
    mem_backend: must(fields({ backend_type: oneOf("File", "Uffd"), backend_path: text }, {})),
    resume_vm: may(bool),
  },
  "balloon-update": { amount_mib: must(uint(0xffffffff)) },
  entropy: { rate_limiter: may(rateLimiter) },
  logger: {
    log_path: may(text),
    level: may((value) => /^(off|trace|debug|info|warn(ing)?|error)$/i.test(String(value))),
    show_level: may(bool),
    show_log_origin: may(bool),
    module: may(text),
  },
  metrics: { metrics_path: must(text) },
  serial: { serial_out_path: may(text), rate_limiter: may(bucket) },
  action: { action_type: must(oneOf("InstanceStart", "FlushMetrics", "SendCtrlAltDel")) },
  "vm-state": { state: must(oneOf("Paused", "Resumed")) },
} as const satisfies Record<string, Record<string, Field>>;

export type ShapeName = keyof typeof SHAPES;

/** @throws BodyError with serde's kind of sentence */
export function readBody(shape: ShapeName, value: unknown): Body {
  const fields: Record<string, Field> = SHAPES[shape];
  if (!object(value)) throw new BodyError("invalid type, expected a struct");
  const body = value as Body;
  for (const [name, content] of Object.entries(body)) {
    const field = fields[name];
    if (field === undefined)
      throw new BodyError(`unknown field \`${name}\`, expected one of ${Object.keys(fields)}`);
    if (!field.check(content)) throw new BodyError(`invalid value for field \`${name}\``);
  }
  for (const [name, { required }] of Object.entries(fields)) {
    if (required && !(name in body)) throw new BodyError(`missing field \`${name}\``);
  }
  return body;
}

/** Sections of the configuration file and their shapes; a list holds one shape each. */
const SECTIONS: Readonly<Record<string, { shape: ShapeName; list: boolean }>> = {
  "boot-source": { shape: "boot-source", list: false },
  "machine-config": { shape: "machine-config", list: false },
  drives: { shape: "drive", list: true },
  "network-interfaces": { shape: "network-interface", list: true },
  vsock: { shape: "vsock", list: false },
  balloon: { shape: "balloon", list: false },
  entropy: { shape: "entropy", list: false },
  logger: { shape: "logger", list: false },
  metrics: { shape: "metrics", list: false },
};

/** The sections of a configuration file, in the order of its text. @throws BodyError */
export function readConfigFile(text_: string): [ShapeName, Body][] {
  const sections = JSON.parse(text_) as Record<string, unknown>;
  for (const required of ["boot-source", "drives"]) {
    if (!(required in sections)) throw new BodyError(`missing field \`${required}\``);
  }
  return Object.entries(sections).flatMap(([name, value]): [ShapeName, Body][] => {
    const section = SECTIONS[name];
    // The real one ignores sections that it does not know; for kiln such a section is a mistake.
    if (section === undefined) throw new BodyError(`unknown section \`${name}\``);
    if (!section.list) return [[section.shape, readBody(section.shape, value)]];
    if (!Array.isArray(value)) throw new BodyError(`\`${name}\` is no list`);
    return value.map((item) => [section.shape, readBody(section.shape, item)]);
  });
}

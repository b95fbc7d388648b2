// What a user asks of a VM, as kept in vm.json: every default filled in, nothing that depends on a wire format.

import * as v from "valibot";

/** Published port; `hostPort` 0 asks for any free one. */
export const PortBindingSchema = v.strictObject({
  hostIp: v.string(),
  hostPort: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535)),
  vmPort: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  protocol: v.picklist(["tcp", "udp"]),
});
export type PortBinding = v.InferOutput<typeof PortBindingSchema>;

export const RestartPolicySchema = v.strictObject({
  name: v.picklist(["no", "on-failure", "always", "unless-stopped"]),
  /** on-failure only; 0: no limit. */
  maximumRetryCount: v.pipe(v.number(), v.integer(), v.minValue(0)),
});
export type RestartPolicy = v.InferOutput<typeof RestartPolicySchema>;

const Strings = v.array(v.string());
const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

export const VmConfigSchema = v.strictObject({
  image: v.string(),
  imageId: v.string(),
  name: v.string(),
  command: Strings,
  entrypoint: Strings,
  entrypointSet: v.boolean(),
  env: Strings,
  workdir: v.string(),
  user: v.string(),
  hostname: v.string(),
  labels: v.record(v.string(), v.string()),
  publish: v.array(PortBindingSchema),
  publishAll: v.boolean(),
  cpus: v.number(),
  memoryBytes: Count,
  diskBytes: Count,
  kernel: v.string(),
  kernelArgs: Strings,
  init: v.picklist(["auto", "app", "system"]),
  restart: RestartPolicySchema,
  network: v.picklist(["user", "none"]),
  dns: Strings,
  addHosts: Strings,
  platform: v.string(),
  /** "": chosen at each start. */
  vmm: v.string(),
  stopSignal: v.string(),
  stopTimeoutMs: Count,
  tty: v.boolean(),
  openStdin: v.boolean(),
  autoRemove: v.boolean(),
  ttyColumns: Count,
  ttyRows: Count,
});
export type VmConfig = v.InferOutput<typeof VmConfigSchema>;

const MIB = 1024 ** 2;

export const DEFAULTS = {
  cpus: 1,
  memoryBytes: 512 * MIB,
  diskBytes: 64 * 1024 * MIB,
  /** Docker's for a program; systemd's own for a whole system, which has many to stop. */
  stopTimeoutMs: { app: 10_000, system: 90_000 },
} as const;

/** A configuration with every default but the image: tests and `create` start from it. */
export function defaultConfig(image: string): VmConfig {
  return {
    image,
    imageId: "",
    name: "",
    command: [],
    entrypoint: [],
    entrypointSet: false,
    env: [],
    workdir: "",
    user: "",
    hostname: "",
    labels: {},
    publish: [],
    publishAll: false,
    cpus: 0,
    memoryBytes: 0,
    diskBytes: 0,
    kernel: "",
    kernelArgs: [],
    init: "auto",
    restart: { name: "no", maximumRetryCount: 0 },
    network: "user",
    dns: [],
    addHosts: [],
    platform: "",
    vmm: "",
    stopSignal: "",
    stopTimeoutMs: 0,
    tty: false,
    openStdin: false,
    autoRemove: false,
    ttyColumns: 0,
    ttyRows: 0,
  };
}

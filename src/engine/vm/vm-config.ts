// What a user asks of a VM, as kept in vm.json: every default filled in, nothing that depends on a wire format.

import * as v from "valibot";
import { openObject } from "../../base/versioned.js";
import { MountSchema, UlimitSchema } from "./mount-config.js";
import { NetworkAttachmentSchema } from "./network-config.js";

const MIB = 1024 ** 2;

export const DEFAULTS = {
  cpus: 1,
  memoryBytes: 512 * MIB,
  diskBytes: 64 * 1024 * MIB,
  /** Docker's for a program; systemd's own for a whole system, which has many to stop. */
  stopTimeoutMs: { app: 10_000, system: 90_000 },
} as const;

const Text = v.optional(v.string(), "");
const Flag = v.optional(v.boolean(), false);
const Strings = v.optional(v.array(v.string()), []);
const count = (byDefault: number) =>
  v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0)), byDefault);

/** Published port; `hostPort` 0 asks for any free one, `hostPortEnd` for the first free one of a range. */
export const PortBindingSchema = openObject({
  hostIp: Text,
  hostPort: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535)),
  hostPortEnd: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))),
  vmPort: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  protocol: v.optional(v.picklist(["tcp", "udp"]), "tcp"),
});
/** A port of the host, or a range of them, for a port of the VM. */
export type PortBinding = v.InferOutput<typeof PortBindingSchema>;

export const RestartPolicySchema = openObject({
  name: v.optional(v.picklist(["no", "on-failure", "always", "unless-stopped"]), "no"),
  /** on-failure only; 0: no limit. */
  maximumRetryCount: count(0),
});
/** What is done when a program has ended. */
export type RestartPolicy = v.InferOutput<typeof RestartPolicySchema>;

/** A new field gets the default that means what the releases before it did. */
export const VmConfigSchema = openObject({
  image: Text,
  imageId: Text,
  name: Text,
  command: Strings,
  entrypoint: Strings,
  entrypointSet: Flag,
  env: Strings,
  workdir: Text,
  user: Text,
  hostname: Text,
  labels: v.optional(v.record(v.string(), v.string()), {}),
  publish: v.optional(v.array(PortBindingSchema), []),
  publishAll: Flag,
  cpus: v.optional(v.number(), DEFAULTS.cpus),
  memoryBytes: count(DEFAULTS.memoryBytes),
  diskBytes: count(DEFAULTS.diskBytes),
  kernel: Text,
  kernelArgs: Strings,
  init: v.optional(v.picklist(["auto", "app", "system"]), "auto"),
  restart: v.optional(RestartPolicySchema, { name: "no", maximumRetryCount: 0 }),
  network: v.optional(v.picklist(["user", "none"]), "user"),
  dns: Strings,
  addHosts: Strings,
  platform: Text,
  /** "": chosen at each start. */
  vmm: Text,
  stopSignal: Text,
  stopTimeoutMs: count(DEFAULTS.stopTimeoutMs.app),
  tty: Flag,
  openStdin: Flag,
  autoRemove: Flag,
  ttyColumns: count(0),
  ttyRows: count(0),
  /** From its start; 0: until it ends by itself. */
  lifetimeMs: count(0),
  mounts: v.optional(v.array(MountSchema), []),
  readOnlyRoot: Flag,
  /** Of /dev/shm; 0: half of the VM's memory. */
  shmBytes: count(0),
  ulimits: v.optional(v.array(UlimitSchema), []),
  sysctls: v.optional(v.record(v.string(), v.string()), {}),
  /** Beside `network`, which is "none" where these alone are asked for: what an older kilnd makes of it. */
  networks: v.optional(v.array(NetworkAttachmentSchema), []),
  /** As formatEgress writes it; "": all that guests may reach. */
  egress: Text,
  /** Instead of the host's; "." alone: none. */
  dnsSearch: Strings,
  dnsOptions: Strings,
  /** How ports are published: kilnd listens and dials into the VM, or rules of the host lead there. */
  publishMode: v.optional(v.picklist(["dial", "nft"]), "dial"),
});
/** What a user asked of a VM. Whole: every field has its default. */
export type VmConfig = v.InferOutput<typeof VmConfigSchema>;

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
    lifetimeMs: 0,
    mounts: [],
    readOnlyRoot: false,
    shmBytes: 0,
    ulimits: [],
    sysctls: {},
    networks: [],
    egress: "",
    dnsSearch: [],
    dnsOptions: [],
    publishMode: "dial",
  };
}

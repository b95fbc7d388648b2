// What a machine can't have is refused before anything is made.

import { access, constants } from "node:fs/promises";
import { Code, KilnError } from "../base/errors.js";
import { checkCards } from "./cards.js";
import { checkPorts } from "./ports.js";
import type { DiskBus, VmmCapabilities, VmmKind, VmmRecord, VmmSpec } from "./types.js";

const MIB = 1024 * 1024;
/** Less than this and no Linux with an initramfs reaches its init. */
const MIN_MEMORY_BYTES = 64 * MIB;

/**
 * @param buses that the machine has for disks
 * @throws KilnError invalid_argument `bad-vm-size`, `too-many-disks`, `bad-disk-id`, `no-such-bus`; what
 * `checkCards` and `checkPorts` say
 */
export function checkSpec(spec: VmmSpec, capabilities: VmmCapabilities, buses: readonly DiskBus[]): void {
  if (!Number.isInteger(spec.vcpus) || spec.vcpus < 1 || spec.vcpus > capabilities.maxVcpus) {
    throw refused("bad-vm-size", `${spec.vcpus} vCPUs: this VMM takes 1 to ${capabilities.maxVcpus}`);
  }
  if (!Number.isSafeInteger(spec.memoryBytes) || spec.memoryBytes < MIN_MEMORY_BYTES) {
    throw refused(
      "bad-vm-size",
      `${spec.memoryBytes} bytes of memory: the least is ${MIN_MEMORY_BYTES / MIB} MiB`,
    );
  }
  checkDisks(spec, capabilities, buses);
  checkCards(spec, capabilities);
  checkPorts(spec, capabilities);
}

function checkDisks({ disks }: VmmSpec, { maxDisks }: VmmCapabilities, buses: readonly DiskBus[]): void {
  if (disks.length > maxDisks)
    throw refused("too-many-disks", `${disks.length} disks: this VMM takes ${maxDisks}`);
  for (const { id, bus } of disks) {
    checkDiskId(id);
    if (bus !== undefined && !buses.includes(bus))
      throw refused(
        "no-such-bus",
        `disk ${id} on ${JSON.stringify(bus)}: this VMM has ${buses.join(" and ")}`,
      );
  }
  if (new Set(disks.map(({ id }) => id)).size !== disks.length)
    throw refused("bad-disk-id", "two disks with the same id");
}

/** @throws KilnError invalid_argument `bad-disk-id` */
export function checkDiskId(id: string): void {
  if (!/^[a-z0-9]{1,20}$/.test(id)) throw refused("bad-disk-id", `disk id ${JSON.stringify(id)}`);
}

/**
 * That kernel, initramfs and disks are there for the daemon: a VMM's own words would not always name the file.
 *
 * @throws KilnError not_found `no-such-file`, permission_denied
 */
export async function checkFiles(spec: VmmSpec): Promise<void> {
  const files: [string, string, number][] = [
    ["kernel", spec.kernel, constants.R_OK],
    ["initramfs", spec.initrd, constants.R_OK],
    ...spec.disks.map(({ id, path, readOnly }): [string, string, number] => [
      `disk ${id}`,
      path,
      readOnly ? constants.R_OK : constants.R_OK | constants.W_OK,
    ]),
  ];
  for (const [what, path, mode] of files) {
    try {
      await access(path, mode);
    } catch (error) {
      throw KilnError.from(error, `open the VM's ${what}`);
    }
  }
}

/** @throws KilnError internal `wrong-driver` */
export function checkReattach(record: VmmRecord, kind: VmmKind): void {
  if (record.driver === kind) return;
  throw new KilnError(Code.Internal, `the VM runs under ${record.driver}, not ${kind}`, {
    reason: "wrong-driver",
  });
}

function refused(reason: string, what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the VM cannot have ${what}`, { reason });
}

// Which disks a VM has, in which order, and by what its guest finds them. Pure: no file is looked at here.

import type { DiskSpec } from "../../vmm/types.js";

/** Where the disks are that every VM boots with. */
export interface BootDisks {
  readonly base: string;
  readonly cow: string;
  /** Absent where the kernel has everything built in. */
  readonly modules?: string | undefined;
}

export interface DiskSet {
  /** In the order in which a guest sees them. */
  readonly specs: readonly DiskSpec[];
  /** Ids of the two that the guest's root is made of. */
  readonly root: { readonly base: string; readonly cow: string };
  /** Id of the one with the kernel's modules. */
  readonly modules: string | undefined;
  /**
   * The device by which an agent finds the disk that knows no serials. Only those that a boot needs have one: they are
   * the first ones and so on virtio-blk, whatever else the VM has. "" for all others, which have serials alone.
   */
  deviceHint(id: string): string;
}

const BASE = "base";
const COW = "cow";
const MODULES = "modules";

/** @param extra what else is attached, after what the guest boots from */
export function planDisks({ base, cow, modules }: BootDisks, extra: readonly DiskSpec[] = []): DiskSet {
  const boot: DiskSpec[] = [
    { id: BASE, path: base, readOnly: true },
    { id: COW, path: cow, readOnly: false },
  ];
  if (modules !== undefined) boot.push({ id: MODULES, path: modules, readOnly: true });
  return {
    specs: [...boot, ...extra],
    root: { base: BASE, cow: COW },
    modules: modules === undefined ? undefined : MODULES,
    deviceHint: (id) => {
      const index = boot.findIndex((disk) => disk.id === id);
      return index < 0 ? "" : `/dev/vd${"abc"[index]}`;
    },
  };
}

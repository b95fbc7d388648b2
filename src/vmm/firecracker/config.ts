// Firecracker's configuration file for one VM. Pure. Fields that a version does not know are refused
// by it, so every newer one is gated; the versions are in docs/design/0006-vmm-drivers.md.

import { atLeast } from "../../base/programs.js";
import { GUEST_WORDS, joinCommandLine } from "../kernel-command-line.js";
import type { VmmSpec } from "../types.js";
import type { ToldPaths } from "./paths.js";

/** The port that the guest's agent listens on (proto: docs/design/0005-channel.md). */
export const CHANNEL_PORT = 1024;
/** The same in every VM: each has a host socket of its own. */
const GUEST_CID = 3;

/** 17 virtio-mmio devices since 1.15 (fewer legacy interrupts before): balloon, entropy, vsock, and those. */
const MAX_CARDS_AND_DISKS = 14;
/** Of a VM with one card, or none. */
export const MAX_DISKS = MAX_CARDS_AND_DISKS - 1;
export const MAX_VCPUS = 32;

const MIB = 1024 * 1024;

/** Each further card takes a disk's place. */
export function maxDisksOf({ cards }: Pick<VmmSpec, "cards">): number {
  return MAX_CARDS_AND_DISKS - Math.max(1, cards.length);
}

/** @throws KilnError invalid_argument for a spec that this machine cannot have */
export function planConfig(
  spec: VmmSpec,
  version: string,
  paths: Pick<ToldPaths, "vsock">,
): Record<string, unknown> {
  return {
    "boot-source": {
      kernel_image_path: spec.kernel,
      initrd_path: spec.initrd,
      boot_args: bootArguments(spec),
    },
    "machine-config": {
      vcpu_count: spec.vcpus,
      mem_size_mib: Math.floor(spec.memoryBytes / MIB),
      smt: false,
    },
    drives: spec.disks.map((disk) => ({
      drive_id: disk.id,
      // Never the root device: with an initramfs the agent chooses, and Firecracker would move it to the front.
      is_root_device: false,
      path_on_host: disk.path,
      is_read_only: disk.readOnly,
      // Writeback: what the guest flushes reaches the host's disk.
      cache_type: disk.readOnly ? "Unsafe" : "Writeback",
    })),
    "network-interfaces": spec.cards.flatMap(({ id, mac, backend }) =>
      backend.kind === "tap" ? [{ iface_id: id, host_dev_name: backend.name, guest_mac: mac }] : [],
    ),
    vsock: { guest_cid: GUEST_CID, uds_path: paths.vsock },
    balloon: {
      amount_mib: 0,
      deflate_on_oom: true,
      ...(hasFreePageReporting(version) ? { free_page_reporting: true } : {}),
    },
    ...(atLeast(version, "1.4") ? { entropy: {} } : {}),
  };
}

export function hasFreePageReporting(version: string): boolean {
  return atLeast(version, "1.14");
}

/**
 * reboot=k: only a keyboard-controller reset ends Firecracker; poweroff leaves it running. No `nomodule` as in
 * Firecracker's own line: Debian's kernel needs its modules. Not probing the other i8042 ports saves half a second.
 */
function bootArguments(spec: VmmSpec): string {
  const words = ["console=ttyS0", "reboot=k", ...GUEST_WORDS];
  words.push("i8042.noaux", "i8042.nomux", "i8042.dumbkbd", "random.trust_cpu=on", "swiotlb=noforce");
  return joinCommandLine(words, spec.kernelArgs, reservedBytes(spec));
}

/** Firecracker appends " pci=off" and one " virtio_mmio.device=4K@0x...:NN" per device to the 2048 bytes. */
function reservedBytes(spec: VmmSpec): number {
  const devices = spec.disks.length + spec.cards.length + 3;
  return 16 + 40 * devices;
}

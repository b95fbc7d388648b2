// What is mounted in a guest, as the agent is told of it.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GuestMountSchema } from "../gen/kiln/agent/v1/mount_pb.js";

export interface GuestMount {
  /** The host's own name for it, [a-z0-9-]{1,40}, once in a guest. */
  readonly id: string;
  /** Absolute, below the guest's root, where links are followed and what is missing is made. */
  readonly target: string;
  readonly readOnly: boolean;
  /** Below the source, without "..": this is mounted instead of the whole. Made where it is missing and may be. */
  readonly subpath?: string;
  readonly source: MountSource;
}

export type MountSource = DiskSource | ShareSource | TmpfsSource;

export interface DiskSource {
  readonly kind: "disk";
  readonly serial: string;
  /** "ext4"; absent: whichever the guest's kernel finds. */
  readonly filesystem?: string;
  /** A block device node at the target instead of a mount. */
  readonly node?: boolean;
  /** Takes in what the image has at the target, before it is mounted over it. Not read-only. */
  readonly fill?: boolean;
}

/** A live directory of the host, over a byte stream of its own. */
export interface ShareSource {
  readonly kind: "share";
  /** The virtio-serial port's name, or the vsock port on CID 2. */
  readonly at: { readonly port: string } | { readonly vsock: number };
  /** The one file of it that is mounted. */
  readonly file?: string;
  /** Fails with EIO while the server is away for longer than its patience; else waits. */
  readonly soft?: boolean;
  /** Absent: 30 s. */
  readonly patienceMs?: number;
  /** The server knows the guest's users. */
  readonly realIds?: boolean;
  /** The host's changes are told to inotify. */
  readonly notify?: boolean;
}

export interface TmpfsSource {
  readonly kind: "tmpfs";
  /** Absent: half of the guest's memory. */
  readonly sizeBytes?: number;
  /** Absent: 0o1777. */
  readonly mode?: number;
  readonly noExec?: boolean;
  readonly uid?: number;
  readonly gid?: number;
}

export function guestMount({ source, ...rest }: GuestMount) {
  return { ...rest, source: sourceOf(source) } satisfies MessageInitShape<typeof GuestMountSchema>;
}

function sourceOf(source: MountSource) {
  switch (source.kind) {
    case "disk": {
      const { kind, ...value } = source;
      return { case: kind, value } as const;
    }
    case "tmpfs": {
      const { kind, sizeBytes = 0, ...value } = source;
      return { case: kind, value: { ...value, sizeBytes: BigInt(sizeBytes) } } as const;
    }
    case "share": {
      const { kind, at, ...value } = source;
      const port = "port" in at ? { port: at.port } : { vsockPort: at.vsock };
      return { case: kind, value: { ...value, ...port } } as const;
    }
  }
}

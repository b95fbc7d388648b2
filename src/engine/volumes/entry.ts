// One volume in memory, and as it is shown.

import { Entry, type EntryKind } from "../objects/entry.js";
import type { Ref } from "../objects/references.js";
import type { VolumeRecord, VolumeStatus } from "./record.js";

/** The directory of a volume's file system that guests see. Beside it is `lost+found`, which some programs can't bear. */
export const VOLUME_CONTENT = "data";
export const VOLUME_RECORD_FILE = "volume.json";

export class VolumeEntry extends Entry<VolumeRecord, VolumeStatus> {
  get sizeBytes(): number {
    return this.record.sizeBytes;
  }

  get anonymous(): boolean {
    return this.record.anonymous;
  }

  /** Nothing was ever copied into it, and no guest had it to write. */
  get isEmpty(): boolean {
    return !this.status.filled;
  }

  /** Its file system has not grown to the size of its disk yet, or that is not known. */
  get isToGrow(): boolean {
    return this.status.filesystemBytes < this.sizeBytes;
  }
}

export function volumeKind(
  kind: Pick<EntryKind<VolumeRecord, VolumeStatus>, "files" | "lock">,
): EntryKind<VolumeRecord, VolumeStatus> {
  return { noun: "volume", recordFile: VOLUME_RECORD_FILE, nameOf: ({ name }) => name, ...kind };
}

export function volumeRef(id: string): Ref {
  return { noun: "volume", id };
}

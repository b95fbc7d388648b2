// What is kept of a volume: volume.json says what was asked, status.json what its disk has become.

import * as v from "valibot";
import { openObject, type RecordKind } from "../../base/versioned.js";

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Text = v.optional(v.string(), "");
const Flag = (byDefault: boolean) => v.optional(v.boolean(), byDefault);

const VolumeRecordSchema = openObject({
  version: Count,
  id: Text,
  /** Of one without a name: its id. */
  name: Text,
  createdAt: Text,
  /** Of the disk's file; 0 where it is lost. */
  sizeBytes: v.optional(Count, 0),
  labels: v.optional(v.record(v.string(), v.string()), {}),
  /** Made without a name: goes with the VM that it was made for where that one has --rm, and with every prune. */
  anonymous: Flag(false),
});
export type VolumeRecord = v.InferOutput<typeof VolumeRecordSchema>;

export const VOLUME_RECORD: RecordKind<VolumeRecord> = {
  version: 1,
  schema: VolumeRecordSchema,
  migrations: {},
};

const VolumeStatusSchema = openObject({
  version: Count,
  /**
   * A guest has had it writable, with what the image has at its target copied into it. Where that is not known it counts
   * as filled: nothing is ever copied over what may be somebody's data.
   */
  filled: Flag(true),
  /** Of the file system, where less than the disk: it grows at the next mount that may write. 0: not known. */
  filesystemBytes: v.optional(Count, 0),
  /** The VM that mounts it read-only and was given its disk writable, as its kernel had to repair it: the last one. */
  repairedBy: Text,
});
export type VolumeStatus = v.InferOutput<typeof VolumeStatusSchema>;

export const VOLUME_STATUS: RecordKind<VolumeStatus> = {
  version: 1,
  schema: VolumeStatusSchema,
  migrations: {},
};

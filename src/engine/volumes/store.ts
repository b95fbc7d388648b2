// Volumes on disk: volumes/<id>/{volume.json,status.json,disk.ext4}. What is lost of one costs its name and labels, never
// what lies in it.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { failpoint } from "../../base/failpoint.js";
import type { Logger } from "../../base/log.js";
import { type LoadedObject, ObjectStore } from "../../base/object-store.js";
import type { Reading } from "../../base/record-form.js";
import { VOLUME_RECORD_FILE } from "./entry.js";
import { VOLUME_RECORD, VOLUME_STATUS, type VolumeRecord, type VolumeStatus } from "./record.js";

export const DISK_FILE = "disk.ext4";
const ID = /^[0-9a-f]{64}$/;

export type VolumeObjects = ObjectStore<VolumeRecord, VolumeStatus>;

export interface LoadedVolume {
  readonly id: string;
  readonly record: VolumeRecord;
  readonly status: VolumeStatus;
  /** Why it is not pruned and its record can't be changed. */
  readonly recordFlaw: string | undefined;
}

export function volumeObjects(dataRoot: string, log: Logger): VolumeObjects {
  return new ObjectStore<VolumeRecord, VolumeStatus>({
    ...{ noun: "volume", root: join(dataRoot, "volumes"), id: ID, log },
    record: {
      file: VOLUME_RECORD_FILE,
      kind: VOLUME_RECORD,
      isWhole: ({ value }) => value.name !== "" && value.sizeBytes > 0,
    },
    status: { file: "status.json", kind: VOLUME_STATUS },
    onStep: (step) => failpoint(`volume.${step}`),
  });
}

export async function loadVolumes(objects: VolumeObjects): Promise<LoadedVolume[]> {
  const found = await objects.load();
  return Promise.all(found.map((each) => complete(objects, each)));
}

async function complete(
  objects: VolumeObjects,
  { id, record, status }: LoadedObject<VolumeRecord, VolumeStatus>,
): Promise<LoadedVolume> {
  const disk = await stat(objects.path(id, DISK_FILE)).catch(() => undefined);
  const fileBytes = disk?.isFile() === true ? disk.size : 0;
  const { birthtime } = await stat(objects.path(id));
  const asked = record.value ?? lostRecord(id);
  return {
    id,
    record: {
      ...asked,
      id,
      name: asked.name || id,
      createdAt: asked.createdAt || birthtime.toISOString(),
      // A kill between the file's growing and the record's being written: the file is right.
      sizeBytes: Math.max(asked.sizeBytes, fileBytes),
    },
    status: status?.value ?? { version: 1, filled: true, filesystemBytes: 0, repairedBy: "" },
    recordFlaw: flawOf(record),
  };
}

function lostRecord(id: string): VolumeRecord {
  return { version: 1, id, name: "", createdAt: "", sizeBytes: 0, labels: {}, anonymous: false };
}

function flawOf({ value, whole, newer, problems, damage }: Reading<VolumeRecord>): string | undefined {
  if (value === undefined) return `its record is lost: ${damage ?? `${VOLUME_RECORD_FILE} is gone`}`;
  if (newer) return `its record was written by a newer kiln (form ${value.version})`;
  if (!whole) return "its record lacks its name or size";
  const [problem] = problems;
  return problem === undefined ? undefined : `its record can't be understood: ${problem}`;
}

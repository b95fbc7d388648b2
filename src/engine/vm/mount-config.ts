// What of the host's files a VM is given, and what bounds its programs, as kept in vm.json.

import * as v from "valibot";
import type { MountSpec } from "../../base/mounts.js";
import { openObject } from "../../base/versioned.js";

const Text = v.optional(v.string(), "");
const Flag = v.optional(v.boolean(), false);
const Count = v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0)), 0);
const Limit = v.pipe(v.number(), v.safeInteger(), v.minValue(-1));

/** A type that this release does not know is kept, and refused when the VM is started. */
export const MountSchema = openObject({
  type: v.string(),
  source: Text,
  target: v.string(),
  /** A word that is lost makes nothing writable. */
  readOnly: v.optional(v.boolean(), true),
  subpath: Text,
  noCopy: Flag,
  sizeBytes: Count,
  mode: Count,
  labels: v.optional(v.record(v.string(), v.string()), {}),
  soft: Flag,
  notify: Flag,
  idmap: Text,
  noExec: Flag,
  uid: Count,
  gid: Count,
  /** Of the volume that its source named when the VM was made; one without a name was made for it. */
  volumeId: Text,
  /** Of the image that its source named then, and the key of its base. */
  imageId: Text,
  base: Text,
});
/** What of the host's files a VM is given, once in its record. */
export type Mount = v.InferOutput<typeof MountSchema>;

/** As it was asked, with nothing found for it yet. */
export function mountOf(spec: MountSpec): Mount {
  return { ...spec, labels: { ...spec.labels }, volumeId: "", imageId: "", base: "" };
}

/** Whether what is written to it is there after its VM. */
export function outlives({ type, source, readOnly }: Mount): boolean {
  return !readOnly && type !== "tmpfs" && type !== "image" && source !== "";
}

export const UlimitSchema = openObject({ name: v.string(), soft: Limit, hard: Limit });

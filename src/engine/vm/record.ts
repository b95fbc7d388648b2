// vm.json: what a VM is. Written when it is made and when the user changes it, always with fsync.

import * as v from "valibot";
import { openObject, type RecordKind } from "../../base/versioned.js";
import { PortBindingSchema, VmConfigSchema } from "./vm-config.js";

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const Text = v.optional(v.string(), "");
const Strings = v.optional(v.array(v.string()), []);

/** What a program is asked to stop with unless its image says otherwise. */
const SIGTERM = 15;

const ProgramSchema = openObject({
  mode: v.optional(v.picklist(["app", "system"]), "app"),
  args: Strings,
  env: Strings,
  user: Text,
  workdir: Text,
  directories: Strings,
  stopSignal: v.optional(v.pipe(Count, v.maxValue(64)), SIGTERM),
  ports: v.optional(v.array(PortBindingSchema), []),
});

const VmRecordSchema = openObject({
  version: Count,
  id: Text,
  createdAt: Text,
  config: v.optional(VmConfigSchema, {}),
  program: v.optional(ProgramSchema, {}),
  /** Key of the base that the cow belongs to: with any other base the cow is garbage. */
  base: Text,
  /** Id of the kernel it boots: fixed when made, so that a new default changes no existing VM. */
  kernelId: Text,
  /** The VMM's user where kilnd is root. */
  uid: v.exactOptional(Count),
});
export type VmRecord = v.InferOutput<typeof VmRecordSchema>;

export const VM_RECORD: RecordKind<VmRecord> = { version: 1, schema: VmRecordSchema, migrations: {} };

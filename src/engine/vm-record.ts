// vm.json: what a VM is. Written when it is made and when the user changes it, always with fsync.

import * as v from "valibot";
import { Code, KilnError } from "../base/errors.js";
import { PortBindingSchema, VmConfigSchema } from "./vm-config.js";

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const HEX_ID = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

const ProgramSchema = v.strictObject({
  mode: v.picklist(["app", "system"]),
  args: v.array(v.string()),
  env: v.array(v.string()),
  user: v.string(),
  workdir: v.string(),
  stopSignal: v.pipe(Count, v.maxValue(64)),
  ports: v.array(PortBindingSchema),
});

export const VmRecordSchema = v.strictObject({
  version: v.literal(1),
  id: HEX_ID,
  createdAt: v.string(),
  config: VmConfigSchema,
  program: ProgramSchema,
  /** Key of the base that the cow belongs to: with any other base the cow is garbage. */
  base: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** Id of the kernel it boots: fixed when made, so that a new default changes no existing VM. */
  kernelId: v.string(),
  /** The VMM's user where kilnd is root. */
  uid: v.exactOptional(Count),
});
export type VmRecord = v.InferOutput<typeof VmRecordSchema>;

/**
 * Parses a file of ours strictly.
 *
 * @param what for the message: the file's path
 * @throws KilnError data_loss `damaged-record`
 */
export function parseRecord<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  what: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const at = v.getDotPath(issue) ?? "top level";
  throw new KilnError(Code.DataLoss, `${what} is damaged: ${at}: ${issue.message}`, {
    reason: "damaged-record",
    hint: "the directory has been put aside under quarantine/ of kiln's data; repair it by hand and move it back",
  });
}

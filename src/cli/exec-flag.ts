// `--exec ID` of verbs for VMs: a program that `kiln exec -d` has started, instead of the VM's own.

import type { Kiln, VmProcess } from "../sdk/index.js";
import { usageError } from "./usage-error.js";

/**
 * Finds the one that was named. An empty name (of a variable that is not set) is none: it must never mean the VM.
 *
 * @param operands the VMs of the command line, of which there must be one
 * @throws KilnError invalid_argument `usage`, `ambiguous-id`; not_found `exec-not-found`
 */
export async function findExec(
  kiln: Kiln,
  verb: string,
  operands: readonly string[],
  id: string,
): Promise<VmProcess> {
  const [vm = "", more] = operands;
  if (more !== undefined) throw usageError(verb, "--exec is about one VM: name only that");
  if (id === "") throw usageError(verb, "--exec needs an id", `\`kiln execs -a ${vm}\` lists them`);
  return kiln.vms.ref(vm).processes.get(id);
}

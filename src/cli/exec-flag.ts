// `--exec ID` of verbs for VMs: a program that `kiln exec -d` has started, instead of the VM's own.

import type { Kiln, VmProcess } from "../sdk/index.js";
import { usageError } from "./usage-error.js";

/**
 * Finds those that were named. An empty name (of a variable that is not set) is none: it must never mean the VM.
 *
 * @param operands the VMs of the command line, of which there must be one
 * @param ids of --exec; all are looked at before the first is found
 * @returns finds one of them; it throws not_found `exec-not-found`, invalid_argument `ambiguous-id`
 * @throws KilnError invalid_argument `usage`
 */
export function execFinder(
  kiln: Kiln,
  verb: string,
  operands: readonly string[],
  ids: readonly string[],
): (id: string) => Promise<VmProcess> {
  const [vm = "", more] = operands;
  if (more !== undefined) throw usageError(verb, "--exec is about one VM: name only that");
  if (ids.includes("")) throw usageError(verb, "--exec needs an id", `\`kiln execs -a ${vm}\` lists them`);
  return (id) => kiln.vms.ref(vm).processes.get(id);
}

// How a VM's main program ended, as an exit code and, where it needs one, a message.

import { Code, KilnError } from "../base/errors.js";
import type { AttachExit } from "../sdk/index.js";
import type { Context } from "./context.js";
import { KILN_FAILED, NOT_EXECUTABLE, NOT_FOUND } from "./exit-code.js";

/** The program's own code; 125 where not the program but the VM failed. */
export async function endOf(
  context: Context,
  name: string,
  { exitCode, status }: AttachExit,
): Promise<number> {
  if (status.state === "failed") {
    await context.report(
      new KilnError(Code.Aborted, `VM ${name} failed: ${status.message || status.reason}`, {
        reason: status.reason || "vm-failed",
        hint: `\`kiln logs --console ${name}\` shows what its kernel said`,
      }),
    );
    return KILN_FAILED;
  }
  const notStarted = exitCode === NOT_EXECUTABLE || exitCode === NOT_FOUND;
  if (notStarted && status.message !== "") await context.note(`kiln: ${status.message}`);
  if (status.reason === "lifetime-over") await context.note(`kiln: the lifetime of VM ${name} is over`);
  if (status.oomKilled) await context.note("kiln: the guest ran out of memory; give it more with -m");
  return exitCode;
}

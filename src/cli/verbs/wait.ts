// `kiln wait`: until VMs end.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { execFinder } from "../exec-flag.js";
import { list, text } from "../flags.js";
import { usageError } from "../usage-error.js";

export const command = defineCommand({
  description: `
Waits until VMs end, and prints the exit codes of their programs, one a line. One that has ended is not waited for. With
--exec it waits for programs that \`kiln exec -d\` has started: until they end for good, where they are brought back.
`,
  operands: [{ name: "VM...", complete: "vm" }],
  flags: {
    exec: list("ID", "Wait for a program of `kiln exec -d` instead", { complete: "exec" }),
    condition: text("STATE", "What to wait for", {
      choices: ["exited", "running", "removed"],
      fallback: "exited",
    }),
  },
  examples: [
    { does: "the exit code of a job", line: "kiln wait job" },
    { does: "of a program beside the VM's own", line: "kiln wait --exec 4f2a web" },
  ],
  async run(context, { flags, operands }) {
    if (flags.exec.length > 0 && flags.condition !== undefined)
      throw usageError("wait", "--condition is about VMs, and does not go with --exec");
    const kiln = await context.connect();
    if (flags.exec.length > 0) {
      const find = execFinder(kiln, "wait", operands, flags.exec);
      return forEachTarget(context, flags.exec, async (id) => {
        const { exitCode } = await (await find(id)).wait();
        return String(exitCode);
      });
    }
    const condition = (flags.condition ?? "exited") as "exited" | "running" | "removed";
    return forEachTarget(context, operands, async (name) => {
      const { exitCode } = await kiln.vms.ref(name).wait({ condition });
      return String(exitCode);
    });
  },
});

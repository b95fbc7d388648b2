// `kiln wait`: until VMs end.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { text } from "../flags.js";

export const command = defineCommand({
  description: `
Waits until VMs end, and prints the exit codes of their programs, one a line. One that has ended is not waited for.
`,
  operands: [{ name: "VM...", complete: "vm" }],
  flags: {
    condition: text("STATE", "What to wait for", {
      choices: ["exited", "running", "removed"],
      fallback: "exited",
    }),
  },
  examples: [{ does: "the exit code of a job", line: "kiln wait job" }],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    const condition = (flags.condition ?? "exited") as "exited" | "running" | "removed";
    return forEachTarget(context, operands, async (name) => {
      const { exitCode } = await kiln.vms.ref(name).wait({ condition });
      return String(exitCode);
    });
  },
});

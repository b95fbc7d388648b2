// `kiln kill`: at once, or a signal for the program.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { text } from "../flags.js";

export const command = defineCommand({
  description: `
Ends VMs at once, as if their plug were pulled: what was not written to disk yet is lost. With -s any other signal goes
to the program instead.
`,
  operands: [{ name: "VM...", complete: "running-vm" }],
  flags: { signal: text("SIGNAL", "Signal to send, by name or number", { short: "s", fallback: "KILL" }) },
  examples: [
    { does: "end it now", line: "kiln kill stuck" },
    { does: "let nginx read its configuration again", line: "kiln kill -s HUP web" },
  ],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    return forEachTarget(context, operands, async (name) => {
      await kiln.vms.ref(name).kill(flags.signal ?? "SIGKILL");
      return name;
    });
  },
});

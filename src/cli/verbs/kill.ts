// `kiln kill`: at once, or a signal for the program.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { execFinder } from "../exec-flag.js";
import { list, text } from "../flags.js";

export const command = defineCommand({
  description: `
Ends VMs at once, as if their plug were pulled: what was not written to disk yet is lost. With -s any other signal goes
to the program instead. With --exec the signal goes to programs that \`kiln exec -d\` has started, and to nothing else;
KILL and TERM end them for good, also where they would be brought back.
`,
  operands: [{ name: "VM...", complete: "running-vm" }],
  flags: {
    exec: list("ID", "Signal a program of `kiln exec -d` instead", { complete: "running-exec" }),
    signal: text("SIGNAL", "Signal to send, by name or number", { short: "s", fallback: "KILL" }),
  },
  examples: [
    { does: "end it now", line: "kiln kill stuck" },
    { does: "let nginx read its configuration again", line: "kiln kill -s HUP web" },
    { does: "end a program beside the VM's own", line: "kiln kill -s TERM --exec 4f2a web" },
  ],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    const { signal = "SIGKILL" } = flags;
    if (flags.exec.length > 0) {
      const find = execFinder(kiln, "kill", operands, flags.exec);
      return forEachTarget(context, flags.exec, async (id) => {
        await (await find(id)).kill(signal);
        return id;
      });
    }
    return forEachTarget(context, operands, async (name) => {
      await kiln.vms.ref(name).kill(signal);
      return name;
    });
  },
});

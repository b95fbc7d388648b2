// `kiln execs rm`: programs that have ended, with their output.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { execFinder } from "../exec-flag.js";
import { bool } from "../flags.js";

export const command = defineCommand({
  description: `
Removes programs that \`kiln exec -d\` has started, with their output, and prints their ids. One that runs is refused, or
killed first with -f. Nobody has to: the last 32 that have ended are kept, and all go with their VM.
`,
  operands: [
    { name: "VM", complete: "vm" },
    { name: "EXEC...", complete: "exec" },
  ],
  flags: { force: bool("Kill those that run", { short: "f" }) },
  examples: [
    { does: "remove one", line: "kiln execs rm web 4f2a" },
    { does: "remove all that have ended", line: "kiln execs rm web $(kiln execs -q -f status=exited web)" },
  ],
  async run(context, { flags, operands: [vm = "", ...ids] }) {
    const find = execFinder(await context.connect(), "execs rm", [vm], ids);
    return forEachTarget(
      context,
      ids,
      async (id) => {
        await (await find(id)).remove({ force: flags.force });
        return id;
      },
      flags.force ? "exec-not-found" : undefined,
    );
  },
});

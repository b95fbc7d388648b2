// `kiln network prune`.

import { defineCommand } from "../command.js";
import { confirm } from "../confirm.js";
import { printLine } from "../context.js";
import { bool, list } from "../flags.js";

export const command = defineCommand({
  description: `
Removes networks that no VM is on, running or not, and prints their names.
`,
  operands: [],
  flags: {
    filter: list("KEY=VALUE", "Only those that match all of these: until=TIME, label=NAME[=VALUE]"),
    force: bool("Do not ask", { short: "f" }),
  },
  examples: [{ does: "tidy up", line: "kiln network prune -f" }],
  async run(context, { flags }) {
    if (!(await confirm(context, "Remove all networks that no VM is on?", flags.force))) return 1;
    const kiln = await context.connect();
    for (const name of await kiln.networks.prune({ filter: flags.filter })) {
      await printLine(context, `Deleted: ${name}`);
    }
    return 0;
  },
});

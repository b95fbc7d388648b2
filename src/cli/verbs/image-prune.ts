// `kiln image prune`.

import { formatSize } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { confirm } from "../confirm.js";
import { printLine } from "../context.js";
import { bool, list } from "../flags.js";

export const command = defineCommand({
  description: `
Removes images without a name, with -a every image that no VM uses, and prints what that gave back.
`,
  operands: [],
  flags: {
    all: bool("Also those with a name that no VM uses", { short: "a" }),
    filter: list("KEY=VALUE", "Only those that match all of these: until=TIME, label=NAME[=VALUE]"),
    force: bool("Do not ask", { short: "f" }),
  },
  examples: [{ does: "remove all that is not in use", line: "kiln image prune -a" }],
  async run(context, { flags }) {
    const what = flags.all ? "every image that no VM uses" : "images without a name";
    if (!(await confirm(context, `Remove ${what}?`, flags.force))) return 1;
    const kiln = await context.connect();
    const { deleted, reclaimedBytes } = await kiln.images.prune({ all: flags.all, filter: flags.filter });
    for (const id of deleted) await printLine(context, `Deleted: ${id}`);
    await printLine(context, `Total reclaimed space: ${formatSize(reclaimedBytes)}`);
    return 0;
  },
});

// `kiln volume prune`.

import { formatSize } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { confirm } from "../confirm.js";
import { printLine } from "../context.js";
import { bool, list } from "../flags.js";

export const command = defineCommand({
  description: `
Removes volumes without a name that no VM has among its mounts, with -a all that no VM has, and prints what that gave back.
`,
  operands: [],
  flags: {
    all: bool("Also those with a name", { short: "a" }),
    filter: list("KEY=VALUE", "Only those that match all of these: until=TIME, label=NAME[=VALUE]"),
    force: bool("Do not ask", { short: "f" }),
  },
  examples: [
    { does: "those that --rm and rm -v have left", line: "kiln volume prune" },
    { does: "all that are not in use", line: "kiln volume prune -a" },
  ],
  async run(context, { flags }) {
    const what = flags.all ? "all volumes" : "all volumes without a name";
    const question = `Remove ${what} that no VM has, with what is in them?`;
    if (!(await confirm(context, question, flags.force))) return 1;
    const kiln = await context.connect();
    const { volumes, reclaimedBytes } = await kiln.volumes.prune({ all: flags.all, filter: flags.filter });
    for (const name of volumes) await printLine(context, `Deleted: ${name}`);
    await printLine(context, `Total reclaimed space: ${formatSize(reclaimedBytes)}`);
    return 0;
  },
});

// `kiln system prune`.

import { formatSize } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { confirm } from "../confirm.js";
import { printLine } from "../context.js";
import { bool, list } from "../flags.js";

export const command = defineCommand({
  description: `
Removes VMs that have ended, networks that no VM has, images without a name and the disks made of them; with -a every image that no VM uses,
with --volumes volumes without a name that no VM has.
Prints what went and what that gave back.
`,
  operands: [],
  flags: {
    all: bool("Also images with a name that no VM uses", { short: "a" }),
    filter: list("KEY=VALUE", "Only what matches all of these: until=TIME, label=NAME[=VALUE]"),
    force: bool("Do not ask", { short: "f" }),
    volumes: bool("Also volumes without a name that no VM has"),
  },
  examples: [{ does: "tidy up", line: "kiln system prune" }],
  async run(context, { flags }) {
    const images = flags.all ? "every image that no VM uses" : "images without a name";
    const volumes = flags.volumes ? "volumes without a name that no VM has, " : "";
    const question = `Remove all VMs that do not run, networks that no VM has, ${images}, ${volumes}and the disks made of them?`;
    if (!(await confirm(context, question, flags.force))) return 1;
    const kiln = await context.connect();
    const {
      vms,
      images: gone,
      bases,
      volumes: disks,
      networks,
      reclaimedBytes,
    } = await kiln.prune({ all: flags.all, filter: flags.filter, volumes: flags.volumes });
    const kinds: [string, readonly string[]][] = [
      ["VM", vms],
      ["image", gone],
      ["base", bases],
      ["volume", disks],
      ["network", networks],
    ];
    for (const [kind, ids] of kinds) for (const id of ids) await printLine(context, `Deleted ${kind}: ${id}`);
    await printLine(context, `Total reclaimed space: ${formatSize(reclaimedBytes)}`);
    return 0;
  },
});

// `kiln rm`: VMs and their disks.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { bool } from "../flags.js";

export const command = defineCommand({
  description: `
Removes VMs with their disks and logs, and prints their names. One that runs is refused, or killed first with -f. The
image stays, and so do volumes. With -f one that is gone already, as a --rm VM that has just ended, is said and is no failure.
`,
  operands: [{ name: "VM...", complete: "vm" }],
  explainFlag: (name) => (["link", "-l"].includes(name) ? "VMs are not linked to one another" : undefined),
  flags: {
    force: bool("Kill those that run", { short: "f" }),
    volumes: bool("Remove the volumes, too, that were made for them and have no name", { short: "v" }),
  },
  examples: [
    { does: "remove one that has ended", line: "kiln rm job" },
    { does: "remove all", line: "kiln rm -f $(kiln ps -aq)" },
  ],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    return forEachTarget(
      context,
      operands,
      async (name) => {
        await kiln.vms.ref(name).remove({ force: flags.force, volumes: flags.volumes });
        return name;
      },
      flags.force ? "vm-not-found" : undefined,
    );
  },
});

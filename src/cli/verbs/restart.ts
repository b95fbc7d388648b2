// `kiln restart`: stop and start again.

import { parseDuration } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { text } from "../flags.js";

export const command = defineCommand({
  description: `
Stops VMs as \`kiln stop\` does, starts them again, and prints their names. Their disks stay; one that does not run is
just started.
`,
  operands: [{ name: "VM...", complete: "vm" }],
  flags: {
    time: text("SECONDS", "Grace before it is killed; also 500ms, 1m", {
      short: "t",
      fallback: "the VM's, or 10",
    }),
  },
  examples: [{ does: "restart a server", line: "kiln restart web" }],
  async run(context, { flags, operands }) {
    const graceMs = flags.time === undefined ? undefined : parseDuration(flags.time, "-t");
    const kiln = await context.connect();
    return forEachTarget(context, operands, async (name) => {
      await kiln.vms.ref(name).restart({ graceMs });
      return name;
    });
  },
});

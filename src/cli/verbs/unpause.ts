// `kiln unpause`.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";

export const command = defineCommand({
  description: "\nLets paused VMs go on.\n",
  operands: [{ name: "VM...", complete: "running-vm" }],
  flags: {},
  examples: [{ does: "let it go on", line: "kiln unpause web" }],
  async run(context, { operands }) {
    const kiln = await context.connect();
    return forEachTarget(context, operands, async (name) => {
      await kiln.vms.ref(name).unpause();
      return name;
    });
  },
});

// `kiln pause`.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";

export const command = defineCommand({
  description: `
Halts the CPUs of VMs. Their memory stays, their published ports accept and wait. \`kiln unpause\` lets them go on.
`,
  operands: [{ name: "VM...", complete: "running-vm" }],
  flags: {},
  examples: [{ does: "hold a VM", line: "kiln pause web" }],
  async run(context, { operands }) {
    const kiln = await context.connect();
    return forEachTarget(context, operands, async (name) => {
      await kiln.vms.ref(name).pause();
      return name;
    });
  },
});

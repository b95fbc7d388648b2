// `kiln volume detach`.

import { defineCommand } from "../command.js";
import { printLine } from "../context.js";

export const command = defineCommand({
  description: `
Takes a volume from a VM, now and for its next starts. MOUNT is the path in the VM, or the volume's name where the VM has it
once. Where a program of the VM uses it nothing is changed, and the program is named.
`,
  operands: [
    { name: "VM", complete: "vm" },
    { name: "MOUNT", complete: "volume-target" },
  ],
  flags: {},
  examples: [{ does: "by its path", line: "kiln volume detach web /data" }],
  async run(context, { operands: [vm = "", target = ""] }) {
    const kiln = await context.connect();
    await kiln.volumes.detach(vm, target);
    await printLine(context, target);
    return 0;
  },
});

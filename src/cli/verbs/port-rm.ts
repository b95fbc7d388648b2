// `kiln port rm`: ends publications.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";

export const command = defineCommand({
  description: `
Ends the publication of ports of a running VM. PORT is as for \`kiln port add\`; 80 alone means the port 80 of the VM,
wherever it is published. Open connections are closed.
`,
  operands: [
    { name: "VM", complete: "running-vm" },
    { name: "PORT...", complete: "none" },
  ],
  flags: {},
  examples: [{ does: "end it", line: "kiln port rm web 8080:80" }],
  async run(context, { operands: [name = "", ...ports] }) {
    const vm = (await context.connect()).vms.ref(name);
    return forEachTarget(context, ports, async (port) => {
      await vm.ports.remove(port);
      return undefined;
    });
  },
});

// `kiln port add`: publishes ports of a running VM.

import { formatPortMapping } from "../../base/ports.js";
import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";

export const command = defineCommand({
  description: `
Publishes ports of a running VM and prints where they are. PORT is as for \`kiln run -p\`: 8080:80, 127.0.0.1:8080:80,
53:53/udp, 8000-8010:8000-8010, or 80 alone for any free port of the host.
`,
  operands: [
    { name: "VM", complete: "running-vm" },
    { name: "PORT...", complete: "none" },
  ],
  flags: {},
  examples: [
    {
      does: "publish port 80 on port 8080, for this machine only",
      line: "kiln port add web 127.0.0.1:8080:80",
    },
  ],
  async run(context, { operands: [name = "", ...ports] }) {
    const vm = (await context.connect()).vms.ref(name);
    return forEachTarget(context, ports, async (port) => {
      const bound = await vm.ports.add(port);
      return bound.map(formatPortMapping).join("\n");
    });
  },
});

// `kiln network connect`.

import { defineCommand } from "../command.js";
import { list, text } from "../flags.js";

export const command = defineCommand({
  description: `
Puts a VM on a network, with addresses that stay its own. One that runs is on it at once, if it was started on a named network and by
QEMU; any other from its next start on.
`,
  operands: [
    { name: "NETWORK", complete: "network" },
    { name: "VM", complete: "vm" },
  ],
  flags: {
    alias: list("NAME", "Name by which others on the network find it, beside its own"),
    ip: text("ADDRESS", "IPv4 address", { fallback: "a free one" }),
    ip6: text("ADDRESS", "IPv6 address", { fallback: "a free one" }),
    "mac-address": text("ADDRESS", "MAC address of its card", { fallback: "one of its own" }),
  },
  explainFlag: (name) => (name === "link" ? "VMs on one network find each other by name" : undefined),
  examples: [
    { does: "with an address of kiln's choice", line: "kiln network connect web db" },
    {
      does: "with an address and another name",
      line: "kiln network connect --ip 10.89.0.5 --alias postgres web db",
    },
  ],
  async run(context, { flags, operands: [network = "", vm = ""] }) {
    const kiln = await context.connect();
    const { ip = "", ip6 = "", "mac-address": mac = "", alias: aliases } = flags;
    await kiln.networks.connect(vm, { network, ip, ip6, mac, aliases });
    return 0;
  },
});

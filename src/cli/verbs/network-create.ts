// `kiln network create`.

import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool, list, text } from "../flags.js";
import { pairsOf } from "../words-of-pairs.js";

const VERB = "network create";

export const command = defineCommand({
  description: `
Makes a network, by which VMs reach each other by name and address, and prints its id. Without --subnet it gets a free one.
Subnets that this host or another network has are refused. Options are those of the driver bridge: mtu=BYTES, and
isolated=true, where VMs reach the world outside and not each other; Docker's names for them are taken too.
`,
  operands: [{ name: "NAME" }],
  flags: {
    "disable-dns": bool("No names, neither of VMs nor of the world outside"),
    driver: text("DRIVER", "What it is made of", { short: "d", fallback: "bridge" }),
    gateway: list("ADDRESS", "Address of the router in the subnet; by default the first"),
    internal: bool("No way out of it"),
    "ip-range": list("SUBNET", "Choose addresses from this part of the subnet"),
    ipv6: bool("IPv6 too"),
    label: list("NAME[=VALUE]", "A label"),
    opt: list("NAME=VALUE", "An option of the driver", { short: "o" }),
    subnet: list("SUBNET", "Of IPv4, of IPv6, or one of each: 10.89.7.0/24, fd00:7::/64"),
  },
  explainFlag: (name) => EXPLAINED[name],
  examples: [
    { does: "one that has what it needs", line: "kiln network create web" },
    { does: "with addresses of your own", line: "kiln network create --subnet 10.89.7.0/24 --ipv6 web" },
    { does: "without a way out", line: "kiln network create --internal db" },
    { does: "for VMs that must not reach each other", line: "kiln network create -o isolated=true guests" },
  ],
  async run(context, { flags, operands: [name = ""] }) {
    const kiln = await context.connect();
    const network = await kiln.networks.create(name, {
      driver: flags.driver ?? "",
      subnets: flags.subnet,
      gateways: flags.gateway,
      ipRanges: flags["ip-range"],
      ipv6: flags.ipv6,
      internal: flags.internal,
      dnsDisabled: flags["disable-dns"],
      options: pairsOf(VERB, "--opt", flags.opt),
      labels: pairsOf(VERB, "--label", flags.label),
    });
    await printLine(context, network.id);
    return 0;
  },
});

const SWARM = "kiln's networks are this host's";
const EXPLAINED: Readonly<Record<string, string>> = {
  attachable: SWARM,
  ingress: SWARM,
  scope: SWARM,
  "config-only": SWARM,
  "config-from": SWARM,
  "aux-address": "say which addresses kiln chooses from with --ip-range",
  "ipam-driver": "kiln chooses addresses itself",
  "ipam-opt": "kiln chooses addresses itself",
};

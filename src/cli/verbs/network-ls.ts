// `kiln network ls`.

import { shortId } from "../../base/ids.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool, list } from "../flags.js";
import { ago } from "../render/names.js";
import { type Column, formatFlag, printRows } from "../render/rows.js";

const COLUMNS: readonly Column[] = [
  { header: "NETWORK ID", field: "ID" },
  { header: "NAME", field: "Name" },
  { header: "DRIVER", field: "Driver" },
  { header: "SUBNETS", field: "Subnets" },
  { header: "VMS", field: "VMs" },
];

export const command = defineCommand({
  description: `
Lists networks. VMS are those that are on them, whether they run or not. \`user\` and \`none\` are no networks of their own:
every VM may have them. Those of the driver cni are described in files of this host, which are read each time, and have no id.

Fields for --format: .ID .Name .Driver .Subnets .Subnet .Subnet6 .VMs .Internal .IPv6 .CreatedAt .CreatedSince .Labels .Scope.
Filters: name=TEXT, id=PREFIX, label=NAME[=VALUE], driver=bridge|cni, dangling=true (that no VM is on).
`,
  operands: [],
  flags: {
    filter: list("KEY=VALUE", "Only those that match all of these", { short: "f" }),
    format: formatFlag,
    "no-trunc": bool("Whole ids"),
    quiet: bool("Only ids", { short: "q" }),
  },
  examples: [
    { does: "all", line: "kiln network ls" },
    { does: "those that no VM is on", line: "kiln network ls -q -f dangling=true" },
  ],
  async run(context, { flags }) {
    const kiln = await context.connect();
    const networks = await kiln.networks.list({ filter: flags.filter });
    const idOf = (id: string) => (flags["no-trunc"] ? id : shortId(id));
    if (flags.quiet && flags.format === undefined) {
      for (const { id } of networks.filter((network) => network.id !== ""))
        await printLine(context, idOf(id));
      return 0;
    }
    const rows = networks.map((network) => ({
      ID: idOf(network.id),
      Name: network.name,
      Driver: network.driver,
      Subnets: [network.subnet, network.subnet6].filter((subnet) => subnet !== "").join(","),
      Subnet: network.subnet,
      Subnet6: network.subnet6,
      VMs: network.members.map(({ vm }) => vm).join(","),
      Internal: network.internal,
      IPv6: network.subnet6 !== "",
      CreatedAt: network.createdAt?.toISOString() ?? "",
      CreatedSince: ago(network.createdAt, context.now()),
      Labels: Object.entries(network.labels)
        .map(([name, value]) => `${name}=${value}`)
        .join(","),
      Scope: "local",
    }));
    await printRows(context, flags.format, rows, COLUMNS);
    return 0;
  },
});

// `kiln volume ls`.

import { formatMemory, formatSize } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool, list } from "../flags.js";
import { ago } from "../render/names.js";
import { type Column, formatFlag, printRows } from "../render/rows.js";

const COLUMNS: readonly Column[] = [
  { header: "VOLUME NAME", field: "Name" },
  { header: "CREATED", field: "CreatedSince" },
  { header: "SIZE", field: "Size" },
  { header: "USED", field: "Used" },
  { header: "VMS", field: "VMs" },
];

export const command = defineCommand({
  description: `
Lists volumes. SIZE is what guests see, USED what is really taken of the host, VMS are those that have it among their mounts,
whether they run or not.

Fields for --format: .Name .ID .CreatedAt .CreatedSince .Size .SizeBytes .Used .UsedBytes .VMs .Links .Writer .Labels .Anonymous .Driver .Scope
.Mountpoint (always empty: a volume is a disk, which only VMs mount).
Filters: name=TEXT, id=PREFIX, label=NAME[=VALUE], dangling=true (that no VM has).
`,
  operands: [],
  flags: {
    filter: list("KEY=VALUE", "Only those that match all of these", { short: "f" }),
    format: formatFlag,
    quiet: bool("Only names", { short: "q" }),
  },
  examples: [
    { does: "all", line: "kiln volume ls" },
    { does: "those that no VM has", line: "kiln volume ls -q -f dangling=true" },
  ],
  async run(context, { flags }) {
    const kiln = await context.connect();
    const volumes = await kiln.volumes.list({ filter: flags.filter });
    if (flags.quiet && flags.format === undefined) {
      for (const { name } of volumes) await printLine(context, name);
      return 0;
    }
    const rows = volumes.map((volume) => ({
      Name: volume.name,
      ID: volume.id,
      CreatedAt: volume.createdAt?.toISOString() ?? "",
      CreatedSince: ago(volume.createdAt, context.now()),
      Size: formatMemory(volume.sizeBytes),
      SizeBytes: volume.sizeBytes,
      Used: formatSize(volume.usedBytes),
      UsedBytes: volume.usedBytes,
      VMs: volume.vms.join(","),
      Links: volume.vms.length,
      Writer: volume.writer,
      Labels: Object.entries(volume.labels)
        .map(([name, value]) => `${name}=${value}`)
        .join(","),
      Anonymous: volume.anonymous,
      Driver: "local",
      Scope: "local",
      Mountpoint: "",
    }));
    await printRows(context, flags.format, rows, COLUMNS);
    return 0;
  },
});

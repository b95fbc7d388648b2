// `kiln system df`.

import { shortId } from "../../base/ids.js";
import { formatSize } from "../../base/units.js";
import type { UsageItem } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { bool } from "../flags.js";
import { familiarImage } from "../render/names.js";
import { type Column, formatFlag, printRows, type Row } from "../render/rows.js";
import { safeLine } from "../render/safe-text.js";

const COLUMNS: readonly Column[] = [
  { header: "TYPE", field: "Type" },
  { header: "TOTAL", field: "Total" },
  { header: "ACTIVE", field: "Active" },
  { header: "SIZE", field: "Size" },
  { header: "RECLAIMABLE", field: "Reclaimable" },
];

const ITEM_COLUMNS: readonly Column[] = [
  { header: "TYPE", field: "Type" },
  { header: "ID", field: "ID" },
  { header: "NAME", field: "Name" },
  { header: "SIZE", field: "Size" },
  { header: "VMS", field: "VMs" },
];

export const command = defineCommand({
  description: `
Shows the disk that kiln really takes, by kind. RECLAIMABLE is what \`kiln system prune -a\` would give back, and of
volumes \`kiln volume prune -a\`. Files that no
object owns are named on stderr, and make the exit code 1: there should be none.

Shared directories (shares) are the host's: they are counted, and take nothing.

With -v each object by itself, with the VMs that have it; an image's size there is that of its layers, which others may have too.

Fields for --format: .Type .Total .Active .Size .SizeBytes .Reclaimable .ReclaimableBytes; with -v .Type .ID .Name .Size .SizeBytes .VMs .Links.
`,
  operands: [],
  flags: { format: formatFlag, verbose: bool("Each object by itself", { short: "v" }) },
  examples: [
    { does: "what takes the space", line: "kiln system df" },
    { does: "which volume takes how much, and who has it", line: "kiln system df -v" },
  ],
  async run(context, { flags }) {
    const kiln = await context.connect();
    const { rows, leaks, items } = await kiln.df({ items: flags.verbose });
    const shown = rows.map((row) => ({
      Type: row.type,
      Total: row.total,
      Active: row.active,
      Size: formatSize(row.sizeBytes),
      SizeBytes: row.sizeBytes,
      Reclaimable: `${formatSize(row.reclaimableBytes)}${percent(row.reclaimableBytes, row.sizeBytes)}`,
      ReclaimableBytes: row.reclaimableBytes,
    }));
    if (flags.verbose) await printRows(context, flags.format, items.map(rowOf), ITEM_COLUMNS);
    else await printRows(context, flags.format, shown, COLUMNS);
    for (const leak of leaks) await context.note(`kiln: nobody owns ${safeLine(leak)}`);
    return leaks.length > 0 ? 1 : 0;
  },
});

function rowOf({ type, id, name, sizeBytes, vms }: UsageItem): Row {
  return {
    Type: type,
    ID: shortId(id.replace(/^sha256:/, "")),
    // One without a name is called by its id.
    Name: name === id ? "" : type === "images" ? familiarImage(name) : name,
    Size: formatSize(sizeBytes),
    SizeBytes: sizeBytes,
    VMs: vms.join(","),
    Links: vms.length,
  };
}

function percent(part: number, whole: number): string {
  return whole === 0 ? "" : ` (${Math.round((part / whole) * 100)}%)`;
}

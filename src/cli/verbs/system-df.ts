// `kiln system df`.

import { formatSize } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { type Column, formatFlag, printRows } from "../render/rows.js";
import { safeLine } from "../render/safe-text.js";

const COLUMNS: readonly Column[] = [
  { header: "TYPE", field: "Type" },
  { header: "TOTAL", field: "Total" },
  { header: "ACTIVE", field: "Active" },
  { header: "SIZE", field: "Size" },
  { header: "RECLAIMABLE", field: "Reclaimable" },
];

export const command = defineCommand({
  description: `
Shows the disk that kiln really takes, by kind. RECLAIMABLE is what \`kiln system prune -a\` would give back, and of
volumes \`kiln volume prune -a\`. Files that no
object owns are named on stderr, and make the exit code 1: there should be none.

Fields for --format: .Type .Total .Active .Size .SizeBytes .Reclaimable .ReclaimableBytes.
`,
  operands: [],
  flags: { format: formatFlag },
  examples: [{ does: "what takes the space", line: "kiln system df" }],
  async run(context, { flags }) {
    const kiln = await context.connect();
    const { rows, leaks } = await kiln.df();
    const shown = rows.map((row) => ({
      Type: row.type,
      Total: row.total,
      Active: row.active,
      Size: formatSize(row.sizeBytes),
      SizeBytes: row.sizeBytes,
      Reclaimable: `${formatSize(row.reclaimableBytes)}${percent(row.reclaimableBytes, row.sizeBytes)}`,
      ReclaimableBytes: row.reclaimableBytes,
    }));
    await printRows(context, flags.format, shown, COLUMNS);
    for (const leak of leaks) await context.note(`kiln: nobody owns ${safeLine(leak)}`);
    return leaks.length > 0 ? 1 : 0;
  },
});

function percent(part: number, whole: number): string {
  return whole === 0 ? "" : ` (${Math.round((part / whole) * 100)}%)`;
}

// `kiln kernel ls`.

import { formatSize } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool } from "../flags.js";
import { ago, idOf } from "../render/names.js";
import { type Column, formatFlag, printRows } from "../render/rows.js";

const COLUMNS: readonly Column[] = [
  { header: "KERNEL ID", field: "ID" },
  { header: "NAME", field: "Name" },
  { header: "CREATED", field: "CreatedSince" },
  { header: "SIZE", field: "Size" },
  { header: "VERSION", field: "Release" },
  { header: "SOURCE", field: "Source" },
  { header: "DEFAULT", field: "Why" },
];

export const command = defineCommand({
  description: `
Lists kernels. The default is used by VMs that name none; its last column says why it is the default: it was set, or it is
kiln's own, or Debian's as long as kiln's own was not built.

Fields for --format: .ID .Name .CreatedAt .CreatedSince .Size .SizeBytes .Release .Source .Modules .Default .Why.
`,
  operands: [],
  flags: { format: formatFlag, "no-trunc": bool("Whole ids"), quiet: bool("Only ids", { short: "q" }) },
  examples: [{ does: "all", line: "kiln kernel ls" }],
  async run(context, { flags }) {
    const kiln = await context.connect();
    const kernels = await kiln.kernels.list();
    const rows = kernels.map((kernel) => ({
      ID: idOf(kernel.id, flags["no-trunc"]),
      Name: kernel.name,
      CreatedAt: kernel.createdAt?.toISOString() ?? "",
      CreatedSince: ago(kernel.createdAt, context.now()),
      Size: formatSize(kernel.sizeBytes),
      SizeBytes: kernel.sizeBytes,
      Release: kernel.release,
      Source: kernel.source,
      Modules: kernel.hasModules,
      Default: kernel.isDefault ? "yes" : "",
      Why: kernel.why,
    }));
    if (flags.quiet && flags.format === undefined) {
      for (const { ID } of rows) await printLine(context, ID);
      return 0;
    }
    await printRows(context, flags.format, rows, COLUMNS);
    return 0;
  },
});

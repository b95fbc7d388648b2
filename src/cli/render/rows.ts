// Lists: as a table, as JSON lines, or by a template. One place, so that every list verb takes the same `--format`.

import { visibleJson } from "../../base/visible.js";
import { type Context, printLine } from "../context.js";
import { text } from "../flags.js";
import { usageError } from "../usage-error.js";
import { renderTable } from "./table.js";

/** One line of a list. Field names are API: templates and `--format json` use them. */
export type Row = Readonly<Record<string, unknown>>;

/** A column of the table without `--format`. */
export interface Column {
  readonly header: string;
  readonly field: string;
}

/** The flag of every list verb. */
export const formatFlag = text("FORMAT", "json, a template like '{{.ID}}', or 'table TEMPLATE'");

/**
 * Prints a list.
 *
 * @param columns the table without `--format`
 * @param headers of fields that are not among the columns, for `table TEMPLATE`
 */
export async function printRows(
  context: Context,
  format: string | undefined,
  rows: readonly Row[],
  columns: readonly Column[],
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const form = parseFormat(format);
  if (form.kind === "json") {
    for (const row of rows) await context.stdout.write(`${visibleJson(row)}\n`);
  } else if (form.kind === "template") {
    const { compileTemplate } = await import("./template.js");
    const render = compileTemplate(form.template);
    for (const row of rows) await printLine(context, render(row));
  } else if (form.kind === "table-template") {
    const names = {
      ...headersOf(rows),
      ...headers,
      ...Object.fromEntries(columns.map(({ field, header }) => [field, header])),
    };
    await context.stdout.write(await templateTable(form.template, rows, names));
  } else {
    const cells = rows.map((row) => columns.map(({ field }) => String(row[field] ?? "")));
    await context.stdout.write(
      renderTable(
        columns.map(({ header }) => header),
        cells,
      ),
    );
  }
}

type Form =
  | { readonly kind: "table" | "json" }
  | { readonly kind: "template" | "table-template"; readonly template: string };

/** @throws KilnError invalid_argument `usage` */
export function parseFormat(format: string | undefined): Form {
  if (format === undefined || format === "" || format === "table") return { kind: "table" };
  if (format === "json") return { kind: "json" };
  const table = /^table\s+([\s\S]+)$/.exec(format);
  if (table?.[1] !== undefined) return { kind: "table-template", template: table[1] };
  if (format.includes("{{")) return { kind: "template", template: format };
  throw usageError("", `--format "${format}" is neither json nor a template with {{...}}`);
}

/** The header line is the template run on the fields' names. */
async function templateTable(
  template: string,
  rows: readonly Row[],
  headers: Readonly<Record<string, string>>,
): Promise<string> {
  const { compileTemplate } = await import("./template.js");
  const render = compileTemplate(template);
  const header = render(headers).split("\t");
  return renderTable(
    header,
    rows.map((row) => render(row).split("\t")),
  );
}

function headersOf(rows: readonly Row[]): Record<string, string> {
  const fields = Object.keys(rows[0] ?? {});
  return Object.fromEntries(fields.map((field) => [field, field.toUpperCase()]));
}

// Single objects: as JSON, or by a template.

import { visibleJson } from "../../base/visible.js";
import { type Context, printLine } from "../context.js";
import { parseFormat } from "./rows.js";
import { compileTemplate } from "./template.js";

/** Prints objects as one JSON array, or each by the template. */
export async function printObjects(
  context: Context,
  format: string | undefined,
  objects: readonly unknown[],
): Promise<void> {
  const form = parseFormat(format);
  if (form.kind === "template" || form.kind === "table-template") {
    const render = compileTemplate(form.template);
    for (const object of objects) await printLine(context, render(object));
    return;
  }
  await context.stdout.write(`${visibleJson(objects, 2)}\n`);
}

/** Prints one object as JSON or by the template; false where neither was asked for. */
export async function printObject(
  context: Context,
  format: string | undefined,
  object: unknown,
): Promise<boolean> {
  const form = parseFormat(format);
  if (form.kind === "table") return false;
  if (form.kind === "json") await context.stdout.write(`${visibleJson(object, 2)}\n`);
  else await printObjects(context, format, [object]);
  return true;
}

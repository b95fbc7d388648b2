// Tables as Docker prints them: padded columns, no lines, nothing after the last column.

import { safeLine } from "./safe-text.js";

const GAP = 3;
const LEAST_WIDTH = 10;

/** Lines of a table, with a final newline. Cells may come from guests and are made safe. */
export function renderTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map(safeLine));
  const widths = header.map((_, column) =>
    Math.max(LEAST_WIDTH - GAP, ...cells.map((row) => displayWidth(row[column] ?? ""))),
  );
  return cells.map((row) => `${renderRow(row, widths)}\n`).join("");
}

function renderRow(row: readonly string[], widths: readonly number[]): string {
  const last = row.length - 1;
  const padded = row.map((cell, column) => {
    if (column === last) return cell;
    return cell + " ".repeat((widths[column] ?? 0) - displayWidth(cell) + GAP);
  });
  return padded.join("").trimEnd();
}

/** Columns that text takes on a terminal: East Asian wide characters two, combining marks none. */
function displayWidth(text: string): number {
  let width = 0;
  for (const char of text) width += charWidth(char);
  return width;
}

const COMBINING = /\p{Mn}|\p{Me}|\u200b|\u200d|\ufe0f/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

function charWidth(char: string): number {
  if (char < "\x7f") return 1;
  if (COMBINING.test(char)) return 0;
  return WIDE.test(char) ? 2 : 1;
}

/** At most `length` characters, the last an ellipsis where something was cut. */
export function truncate(text: string, length: number): string {
  const chars = [...text];
  return chars.length <= length ? text : `${chars.slice(0, length - 1).join("")}…`;
}

// One line of comma-separated fields, as Go's encoding/csv reads it: what `--mount` is written in.

/** Undefined where its quotes do not match. */
export function csvFields(text: string): string[] | undefined {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    const quoted = text[at] === '"';
    const end = quoted ? endOfQuoted(text, at) : endOfPlain(text, at);
    if (end === undefined) return undefined;
    const field = text.slice(at, end);
    fields.push(quoted ? field.slice(1, -1).replaceAll('""', '"') : field);
    if (end === text.length) return fields;
    at = end + 1;
  }
}

/** Where the field ends: at a comma or at the end. A quote within it is none of Go's. */
function endOfPlain(text: string, at: number): number | undefined {
  const comma = text.indexOf(",", at);
  const end = comma < 0 ? text.length : comma;
  return text.slice(at, end).includes('"') ? undefined : end;
}

function endOfQuoted(text: string, at: number): number | undefined {
  for (let close = text.indexOf('"', at + 1); close >= 0; close = text.indexOf('"', close + 2)) {
    if (text[close + 1] === '"') continue;
    return close + 1 === text.length || text[close + 1] === "," ? close + 1 : undefined;
  }
  return undefined;
}

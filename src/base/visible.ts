// Characters that a terminal acts on, made visible: in errors, logs and JSON they come from whoever named a file, an image, a label.

// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what this is about.
const ACTING = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** "a\x1b[2J" with the escape written out; newlines and tabs stay. */
export function visible(text: string): string {
  return text.replace(ACTING, (char) => {
    const code = char.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

/** The same value as JSON, of which JSON.stringify leaves some as they are. */
export function visibleJson(value: unknown, indent?: number): string {
  const written = (char: string) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return (JSON.stringify(value, null, indent) ?? "null").replace(ACTING, written);
}

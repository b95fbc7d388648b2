// Text from guests, images and registries on its way to a terminal: an escape sequence in a name or an error must not
// move the cursor, retitle the window or paste into the shell.

/** One line: every control character becomes visible or a space. */
export function safeLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what this is about.
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (char) =>
    char === "\n" || char === "\t" || char === "\r" ? " " : "\ufffd",
  );
}

/** Several lines: newlines and tabs stay. */
export function safeText(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .split("\n")
    .map((line) => line.split("\t").map(safeLine).join("\t"))
    .join("\n");
}

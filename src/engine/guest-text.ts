// Text that a guest wrote and a person will see in a terminal: escape sequences and control characters are taken out.

/** One line of it. */
export function cleanLine(text: string): string {
  return text
    .replace(/\p{Cc}\[[0-9;?]*[A-Za-z]/gu, "")
    .replace(/\p{Cc}/gu, " ")
    .trimEnd();
}

/** The lines that hold something. */
export function cleanLines(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map(cleanLine)
    .filter((line) => line !== "");
}

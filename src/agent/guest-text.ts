// Text that a guest wrote and a person will see in a terminal: escape sequences and control characters are taken out.

/** One line of it. */
export function cleanLine(text: string): string {
  return text
    .replace(/\p{Cc}\[[0-9;?]*[A-Za-z]/gu, "")
    .replace(/\p{Cc}/gu, " ")
    .trimEnd();
}

/**
 * What the agent says of a program that could not be started. One by the name of a flag is a flag of kiln's that stands
 * behind the name of the image or the VM, where the program's own words begin.
 */
export function explainNotStarted(error: string): string {
  if (!/^(start )?-\S*: not found/.test(error)) return error;
  return `${error} (flags of kiln stand before the name of the image or the VM)`;
}

/** The lines that hold something. */
export function cleanLines(text: string): string[] {
  return text
    .split(/\r?\n/)
    .map(cleanLine)
    .filter((line) => line !== "");
}

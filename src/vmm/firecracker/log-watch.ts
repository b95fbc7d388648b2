// Firecracker's own log, as far as it is evidence: its last words for people, and whether it said that it ends because
// its guest has. The process's exit status is lost to a kilnd that did not start it.

const KEPT_BYTES = 8 * 1024;
const CLEAN_END = /exiting successfully/;
/** API calls and their answers are no reason for an end. */
const CHATTER = /The API server received|executed successfully|Running Firecracker|Successfully started/;

export class LogWatch {
  #text = "";

  take(chunk: Buffer): void {
    this.#text = (this.#text + chunk.toString("latin1")).slice(-KEPT_BYTES);
  }

  /** True where Firecracker ended by itself with status 0: its guest rebooted. */
  get endedCleanly(): boolean {
    return CLEAN_END.test(this.#text);
  }

  /** Errors and warnings, oldest first. */
  lastWords(): string {
    const lines = this.#text.split("\n").filter((line) => line !== "" && !CHATTER.test(line));
    return lines.slice(-3).map(stripPrefix).join("; ");
  }
}

/** Without "2026-01-01T00:00:00.000000000 [id:thread] ". */
function stripPrefix(line: string): string {
  return line.replace(/^\S+ \[[^\]]*\] ?/, "");
}

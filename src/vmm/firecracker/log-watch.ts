// Firecracker's own log, as far as it is evidence: its last words for people, and whether it said that it ends because
// its guest has. The process's exit status is lost to a kilnd that did not start it.

import { deferred } from "../../base/runtime.js";

const KEPT_BYTES = 8 * 1024;
const STARTED = /Successfully started microvm/;
const CLEAN_END = /exiting successfully/;
/** What 1.14 to 1.17 say at level Info without any trouble: no reason for an end. */
const CHATTER = new RegExp(
  [
    "The API server received|executed successfully|Running Firecracker|Successfully started",
    "Listening on API socket|API server started|API request took|'(resume|pause) vm'",
    "[Ss]ignall?ing event queue|notifying tx queue|Artificially kick|spurious notification",
    "Vmm is stopping|Killing vCPU threads|VcpuEvent::Resume|immediate_exit|messages were suppressed",
    "exiting with error",
  ].join("|"),
);

export class LogWatch {
  readonly #started = deferred<void>();
  #text = "";

  /** It said that its configuration file's guest runs. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  take(chunk: Buffer): void {
    this.#text = (this.#text + chunk.toString("latin1")).slice(-KEPT_BYTES);
    if (STARTED.test(this.#text)) this.#started.resolve();
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

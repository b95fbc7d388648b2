// One kiln-lease: what it reads, that it runs, and that it ends. It outlives kilnd, and the next kilnd finds it by its record.

import { chmod, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { BWRAP_CHILD_PID } from "../../base/bubblewrap.js";
import { failpoint } from "../../base/failpoint.js";
import { makeDirectory, writeFileAtomic } from "../../base/files.js";
import { endHelper, runningHelper, startHelper } from "../bridge/helper.js";
import { LEASE_FILE, planLeaseJail } from "./plan-jail.js";

export interface AnswererOptions {
  /** "whoever answers on network blue": for errors. */
  readonly what: string;
  /** Private to kilnd, existing: for what it reads, below which it sees nothing else, and its record. */
  readonly directory: string;
  /** Goes before a command that is to run where the link is. */
  readonly prefix: readonly string[];
  readonly bwrap: string;
  /** Path of kiln-lease. */
  readonly lease: string;
  readonly isOwnUser: boolean;
  readonly on: string;
  readonly with: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Takes effect at once, whether it runs or not. @param text of `planLeaseFile` */
export async function writeAnswers(
  { directory }: Pick<AnswererOptions, "directory">,
  text: string,
): Promise<void> {
  const files = filesOf(directory);
  await makeDirectory(files, 0o755);
  const path = join(files, LEASE_FILE);
  const before = await readFile(path, "utf8").catch(() => undefined);
  if (before === text) return;
  await writeFileAtomic(path, text, { durable: false });
  // Its own user reads it.
  await chmod(path, 0o644);
}

/** Started where it does not run; its file is there. @throws KilnError unavailable `network-failed` */
export async function ensureAnswerer(options: AnswererOptions): Promise<void> {
  const { what, directory, prefix, environment } = options;
  failpoint("network.leased");
  const record = recordOf(directory);
  if ((await runningHelper(record)) !== undefined) return;
  await startHelper({
    what,
    argv: [...prefix, ...planLeaseJail({ ...options, files: filesOf(directory) })],
    environment,
    record,
    pidIn: BWRAP_CHILD_PID,
    begun: /^answering$/m,
  });
}

/** True where none is on record. */
export async function isAnswererRunning(directory: string): Promise<boolean> {
  return (await runningHelper(recordOf(directory))) !== undefined;
}

/** Idempotent. */
export async function endAnswerer({ directory }: Pick<AnswererOptions, "directory">): Promise<void> {
  await endHelper(recordOf(directory));
  await rm(filesOf(directory), { recursive: true, force: true });
}

function filesOf(directory: string): string {
  return join(directory, "leases");
}

function recordOf(directory: string): string {
  return join(directory, "leases.json");
}

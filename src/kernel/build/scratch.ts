// Names of things in the making, which tell whose they are: kilnd and the checkout's scripts may share a directory,
// and one that starts must not clear away what another is just making.

import { randomBytes } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../base/errors.js";
import { identifyProcess, isAlive } from "../../base/processes.js";

const SCRATCH = /^[a-z0-9]+\.part-([0-9]+)-([0-9]+(?:b[0-9a-f]{8})?)-[0-9a-f]{12}$/;

/** A path of this process's own, for something that will be renamed or removed. @param prefix lower case */
export async function scratchPath(directory: string, prefix: string): Promise<string> {
  const me = await identifyProcess(process.pid);
  const owner = `${process.pid}-${me?.startTime ?? "0"}`;
  return join(directory, `${prefix}.part-${owner}-${randomBytes(6).toString("hex")}`);
}

/** Removes what processes that have ended left in the making. What has another form of name stays. */
export async function removeAbandoned(directory: string): Promise<void> {
  for (const name of await namesIn(directory)) {
    const [, pid = "", startTime = ""] = SCRATCH.exec(name) ?? [];
    if (pid === "" || (await isAlive({ pid: Number(pid), startTime }))) continue;
    // A process of a build that was not fenced may still be writing.
    await rm(join(directory, name), { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

// One set-up at a time per checkout. The lock names its holder's process, so that a killed one does not block.

import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { BUILD } from "./paths.mjs";
import { say } from "./step.mjs";

const LOCK = `${BUILD}/setup.lock`;

/** Runs `body` alone; waits for another set-up to end. */
export async function withSetupLock(body) {
  mkdirSync(BUILD, { recursive: true });
  for (let told = false; !tryLock(); told = true) {
    if (!told) say("waiting for another set-up of this checkout to end");
    await delay(500);
  }
  try {
    return await body();
  } finally {
    rmSync(LOCK, { force: true });
  }
}

function tryLock() {
  // Written elsewhere and linked into place: the lock never exists without its holder's pid.
  const mine = `${LOCK}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  try {
    linkSync(mine, LOCK);
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  } finally {
    rmSync(mine, { force: true });
  }
  const holder = readHolder();
  if (holder !== "" && !existsSync(`/proc/${holder}`)) rmSync(LOCK, { force: true });
  return false;
}

function readHolder() {
  try {
    return readFileSync(LOCK, "utf8").trim();
  } catch {
    return ""; // released meanwhile
  }
}

// kill -9 of kilnd at random points of run, pull and rm: whatever was half done, the next start repairs it.

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { delay } from "../../src/base/runtime.js";
import { debianLayout } from "../fixtures/assets.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";

let kiln: TestKiln;
let busybox = "";
before(async () => {
  kiln = await TestKiln.start();
  busybox = await busyboxImage(join(kiln.root, "busybox"));
});
after(() => kiln.dispose());

/**
 * Runs a verb, kills kilnd `afterMs` later, and starts the next one. The verb names the socket: one that came too late
 * would start a kilnd by itself at the default one.
 */
async function killDuring(args: readonly string[], afterMs: number): Promise<void> {
  const client = kiln.spawn(["--host", `unix://${kiln.socket}`, ...args]);
  const ended = once(client, "close");
  client.stdin?.end();
  await delay(afterMs);
  await kiln.stopDaemon("SIGKILL");
  await ended;
  await kiln.startDaemon();
}

/** Nothing is left that no object owns, and every VM that is listed can be removed. */
async function assertWhole(what: string): Promise<void> {
  const ids = (await kiln.ok(["ps", "-aq", "--no-trunc"])).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await kiln.ok(["rm", "-f", ...ids]);
  const usage = await kiln.kiln(["system", "df"]);
  assert.deepEqual([usage.code, usage.stderr], [0, ""], what);
  const others = (await kiln.processes()).filter(({ pid }) => pid !== kiln.daemonPid);
  assert.deepEqual(others, [], what);
  assert.deepEqual(await readdir(join(kiln.root, "data", "vms")), [], what);
  assert.deepEqual(await readdir(join(kiln.root, "run", "v")), [], what);
  const building = (await readdir(join(kiln.root, "data", "bases"))).filter((name) => name.startsWith("."));
  assert.deepEqual(building, [], what);
}

describe("kill -9 of kilnd", () => {
  it("at ten points of run leaves nothing behind", async () => {
    await kiln.ok(["run", "--rm", busybox, "true"]);
    for (let round = 0; round < 10; round++) {
      const ms = randomInt(20, 4_000);
      await killDuring(
        ["run", round % 2 === 0 ? "--rm" : "--init=app", "-m", "128m", busybox, "sleep", "1"],
        ms,
      );
      await assertWhole(`run, killed after ${ms} ms`);
    }
  });

  it("at five points of a pull that builds a base leaves nothing behind, and the pull succeeds then", async () => {
    const image = debianLayout("debian");
    for (let round = 0; round < 5; round++) {
      const ms = randomInt(20, 1_500);
      await killDuring(["create", image, "true"], ms);
      await assertWhole(`create, killed after ${ms} ms`);
      await kiln.ok(["system", "prune", "-a", "-f"]);
    }
    await kiln.ok(["create", image, "true"]);
    await assertWhole("the last create");
  });

  it("at five points of rm leaves nothing behind", async () => {
    for (let round = 0; round < 5; round++) {
      const id = (await kiln.ok(["run", "-d", "-m", "128m", busybox, "sleep", "1000"])).trim();
      const ms = randomInt(120, 400);
      await killDuring(["rm", "-f", id], ms);
      await assertWhole(`rm, killed after ${ms} ms`);
    }
  });
});

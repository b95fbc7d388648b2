// kill -9 of kilnd at named points of run, create and rm, a little later each time: whatever was half done, the next
// start repairs it. KILN_TEST_SEED repeats a run's delays.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { delay } from "../../src/base/runtime.js";
import { debianLayout } from "../fixtures/assets.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { SEED, seeded } from "../fixtures/seeded.js";
import { eventually, TestKiln } from "./harness.js";
import { CREATE_POINTS, type LifePoint, REMOVE_POINTS, RUN_POINTS, untilReached } from "./life-points.js";

/** From a point to the next thing that kilnd writes is less. */
const MOST_LATER_MS = 40;

let kiln: TestKiln;
let busybox = "";
const random = seeded();
before(async () => {
  kiln = await TestKiln.start();
  busybox = await busyboxImage(join(kiln.root, "busybox"));
});
after(() => kiln.dispose());

/**
 * Runs a verb, kills kilnd at the point or a moment later, and starts the next one. The verb names the socket: one that
 * came too late would start a kilnd by itself at the default one.
 *
 * @returns what was done, for messages
 */
async function killDuring(args: readonly string[], point: LifePoint): Promise<string> {
  const laterMs = Math.floor(random() * MOST_LATER_MS);
  const client = kiln.spawn(["--host", `unix://${kiln.socket}`, ...args]);
  const ended = once(client, "close");
  client.stdin?.end();
  await untilReached(kiln, point, ended);
  await delay(laterMs);
  await kiln.stopDaemon("SIGKILL");
  // First: a client in the foreground waits for the next kilnd, and goes on with it.
  await kiln.startDaemon();
  await ended;
  return `${args.join(" ")}: killed ${laterMs} ms after "${point.name}" (KILN_TEST_SEED=${SEED})`;
}

/**
 * Nothing is left that no object owns, and every VM that is listed can be removed. A --rm VM may be going meanwhile by
 * itself: it is out of sight first, and its files after that.
 */
async function assertWhole(what: string): Promise<void> {
  const ids = (await kiln.ok(["ps", "-aq", "--no-trunc"])).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await kiln.ok(["rm", "-f", ...ids]);
  await eventually(`nothing of it is left: ${what}`, async () => {
    const left = [
      ...(await readdir(join(kiln.root, "data", "vms"))),
      ...(await readdir(join(kiln.root, "run", "v"))),
    ];
    return left.length === 0 ? true : undefined;
  });
  const usage = await kiln.kiln(["system", "df"]);
  assert.deepEqual([usage.code, usage.stderr], [0, ""], what);
  const others = (await kiln.processes()).filter(({ pid }) => pid !== kiln.daemonPid);
  assert.deepEqual(others, [], what);
  const building = (await readdir(join(kiln.root, "data", "bases"))).filter((name) => name.startsWith("."));
  assert.deepEqual(building, [], what);
}

describe("kill -9 of kilnd", () => {
  it("at every point of run leaves nothing behind", async (test) => {
    test.diagnostic(`KILN_TEST_SEED=${SEED}`);
    await kiln.ok(["run", "--rm", busybox, "true"]);
    for (const point of RUN_POINTS) {
      for (const how of ["--rm", "--init=app"]) {
        const run = ["run", how, "-m", "128m", busybox, "sleep", "1"];
        await assertWhole(await killDuring(run, point));
      }
    }
  });

  it("at every point of a pull that builds a base leaves nothing behind, and the pull succeeds then", async () => {
    const image = debianLayout("debian");
    for (const point of CREATE_POINTS) {
      await kiln.ok(["system", "prune", "-a", "-f"]);
      await assertWhole(await killDuring(["create", image, "true"], point));
    }
    await kiln.ok(["create", image, "true"]);
    await assertWhole("the last create");
  });

  it("at every point of rm leaves nothing behind", async () => {
    for (const point of REMOVE_POINTS) {
      const id = (await kiln.ok(["run", "-d", "-m", "128m", busybox, "sleep", "1000"])).trim();
      await assertWhole(await killDuring(["rm", "-f", id], point));
    }
  });
});

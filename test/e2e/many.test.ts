// Many VMs: twenty at once, and two hundred one after the other without a leak.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";

const AT_ONCE = 20;
const IN_A_ROW = 200;

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
  await kiln.ok(["run", "--rm", image, "true"]);
});
after(() => kiln.dispose());

const openFiles = async () => (await readdir(`/proc/${kiln.daemonPid}/fd`)).length;

describe("many VMs", () => {
  it("starts twenty at once and loses none", async () => {
    const names = Array.from({ length: AT_ONCE }, (_, i) => `vm${i}`);
    const start = (name: string) =>
      kiln.ok(["run", "-d", "--name", name, "-m", "128m", image, "sleep", "100000"]);
    await Promise.all(names.map(start));
    const answers = await Promise.all(names.map((name) => kiln.ok(["exec", name, "hostname"])));
    assert.equal(new Set(answers.map((answer) => answer.trim())).size, AT_ONCE, "each VM is itself");
    const running = JSON.parse(
      `[${(await kiln.ok(["ps", "--format", "json"])).trim().split("\n").join(",")}]`,
    );
    assert.equal(running.flat().length, AT_ONCE);
    await kiln.ok(["rm", "-f", ...names]);
    assert.equal((await kiln.ok(["ps", "-aq"])).trim(), "");
  });

  it("runs two hundred in a row and leaves no process, file or descriptor", async () => {
    await kiln.ok(["run", "--rm", image, "true"]);
    const filesBefore = await openFiles();
    for (let round = 0; round < IN_A_ROW; round++) {
      const result = await kiln.kiln(["run", "--rm", image, "true"]);
      assert.equal(result.code, 0, `round ${round}: ${result.stderr}\n${kiln.daemonLog.slice(-3000)}`);
    }
    assert.ok((await openFiles()) <= filesBefore, "kilnd holds no more descriptors than before");
    const others = (await kiln.processes()).filter(({ pid }) => pid !== kiln.daemonPid);
    assert.deepEqual(others, []);
    assert.deepEqual(await readdir(join(kiln.root, "data", "vms")), []);
    assert.deepEqual(await readdir(join(kiln.root, "run", "v")), []);
  });
});

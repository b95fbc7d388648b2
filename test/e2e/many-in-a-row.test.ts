// Two hundred VMs one after the other: none fails, none leaves anything behind.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, TestKiln } from "./harness.js";

const IN_A_ROW = 200;

let kiln: TestKiln;
let image = "";
before(async () => {
  // The kernel is none of it, and two hundred boots of kiln's own take half the time.
  kiln = await TestKiln.start({ kernel: "kiln" });
  image = await busyboxImage(join(kiln.root, "busybox"));
});
after(() => kiln.dispose());

const openFiles = async () => (await readdir(`/proc/${kiln.daemonPid}/fd`)).length;

describe("many VMs in a row", () => {
  it("runs two hundred in a row and leaves no process, file or descriptor", async () => {
    await kiln.ok(["run", "--rm", image, "true"]);
    await kiln.untilNoVm();
    const filesBefore = await openFiles();
    for (let round = 0; round < IN_A_ROW; round++) {
      const result = await kiln.kiln(["run", "--rm", image, "true"]);
      assert.equal(result.code, 0, `round ${round}: ${result.stderr}\n${kiln.daemonLog.slice(-3000)}`);
    }
    await kiln.untilNoVm();
    // The last VM's directory is gone before all is let go.
    await eventually("kilnd holds no more descriptors than before", async () =>
      (await openFiles()) <= filesBefore ? true : undefined,
    );
    const others = (await kiln.processes()).filter(({ pid }) => pid !== kiln.daemonPid);
    assert.deepEqual(others, []);
    assert.deepEqual(await readdir(join(kiln.root, "data", "vms")), []);
    assert.deepEqual(await readdir(join(kiln.root, "run", "v")), []);
  });
});

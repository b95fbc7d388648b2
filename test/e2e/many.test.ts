// Twenty VMs started at once.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";

const AT_ONCE = 20;

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
  await kiln.ok(["run", "--rm", image, "true"]);
});
after(() => kiln.dispose());

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
});

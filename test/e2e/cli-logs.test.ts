// `kiln logs`: all of it, the end of it, as it comes, and after the end.

import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { run, TestKiln } from "./harness.js";

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
  const script = "seq 1 100; echo oops >&2; printf unfinished";
  await kiln.ok(["run", "-q", "-d", "--name", "ended", image, "sh", "-c", script]);
  await kiln.ok(["wait", "ended"]);
});
after(() => kiln.dispose());

describe("kiln logs of a VM that has ended", () => {
  it("has every byte, each on its stream", async () => {
    const { stdout, stderr } = await kiln.kiln(["logs", "ended"]);
    assert.equal(stdout, `${Array.from({ length: 100 }, (_, index) => index + 1).join("\n")}\nunfinished`);
    assert.equal(stderr, "oops\n");
  });

  it("has the last lines with --tail", async () => {
    const { stdout, stderr } = await kiln.kiln(["logs", "--tail", "3", "ended"]);
    // What two pipes carry may arrive in any order: whether "oops" is among the last three is the guest's business.
    assert.ok(["", "oops\n"].includes(stderr), stderr);
    assert.equal(stdout, stderr === "" ? "99\n100\nunfinished" : "100\nunfinished");
  });

  it("has times with -t, and bounds by time", async () => {
    const stamped = await kiln.ok(["logs", "-t", "ended"]);
    const lines = stamped.split("\n");
    assert.equal(lines.length, 101);
    for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \w+$/);
    assert.equal(await kiln.ok(["logs", "--until", "1h", "ended"]), "");
    assert.equal((await kiln.ok(["logs", "--since", "1h", "ended"])).split("\n").length, 101);
  });

  it("ends with -f too", async () => {
    assert.match(await kiln.ok(["logs", "-f", "--tail", "1", "ended"]), /unfinished$/);
  });

  it("has the kernel's console with --console", async () => {
    assert.match(await kiln.ok(["logs", "--console", "ended"]), /\[ +\d+\.\d+\] /);
  });

  it("goes quietly when its reader has enough", async () => {
    const script = '"$@" logs ended | head -n 2';
    const result = await run(["sh", "-c", script, "sh", ...kiln.command], { env: kiln.env });
    assert.deepEqual([result.code, result.stdout], [0, "1\n2\n"]);
    assert.doesNotMatch(result.stderr, /EPIPE|kiln:/);
  });
});

describe("kiln logs -f", () => {
  it("shows what comes until the VM ends", async () => {
    const script = "for i in 1 2 3; do echo line $i; sleep 0.3; done";
    await kiln.ok(["run", "-q", "-d", "--name", "live", image, "sh", "-c", script]);
    const child = kiln.spawn(["logs", "-f", "live"]);
    let out = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      out += chunk.toString();
    });
    const [code] = await once(child, "close");
    assert.deepEqual([code, out], [0, "line 1\nline 2\nline 3\n"]);
  });
});

it("logs of no VM fail with 1", async () => {
  const result = await kiln.kiln(["logs", "nobody"]);
  assert.equal(result.code, 1);
  assert.match(result.stderr, /^kiln: .*nobody/);
});

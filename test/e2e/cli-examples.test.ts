// The SDK's examples in docs/examples, run as users run them.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { run, TestKiln } from "./harness.js";

const EXAMPLES = fileURLToPath(new URL("../../docs/examples/", import.meta.url));

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
});
after(() => kiln.dispose());

async function example(name: string): Promise<string> {
  const result = await run([process.execPath, join(EXAMPLES, `${name}.js`), image], { env: kiln.env });
  assert.equal(result.code, 0, `${result.stderr}\n${kiln.daemonLog.slice(-2000)}`);
  assert.equal(await kiln.ok(["ps", "-aq"]), "", "no VM is left");
  return result.stdout;
}

describe("docs/examples", () => {
  it("quick-start: a command, live output, a file and a port", async () => {
    assert.match(
      await example("quick-start"),
      /^kernel \d+\.\d+\S*, exit code 0\n1\n2\n3\nhi\n\nhttp:\/\/127\.0\.0\.1:\d+\n$/,
    );
  });

  it("untrusted-code: results, failures and time-outs", async () => {
    assert.equal(await example("untrusted-code"), "exit 0: 42\nexit 3: oops\ntook too long\n");
  });

  it("pipe: stdin from a stream and from a writer", async () => {
    assert.equal(await example("pipe"), "75 bytes, exit code 0\ntyped later\n");
  });

  it("service: published, asked, listed, stopped, its output read", async () => {
    assert.equal(await example("service"), "hello from a microVM\ntrue running\nserving\n");
  });

  it("job: left alone, brought back, found again", async () => {
    assert.equal(await example("job"), "working\nworking\ndone\nexit code 0, restarts: 1\nleft: 0\n");
  });

  it("follow-events: on from a cursor, without a gap", async () => {
    assert.equal(await example("follow-events"), "create\nstart\ndie\n");
  });
});

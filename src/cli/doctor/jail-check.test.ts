// What `kiln doctor` says of the jail, by the bubblewrap that it finds.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fakeContext } from "../fake-context.js";
import { runCli } from "../run-cli.js";
import { checkJail, checkJailFiles } from "./jail-check.js";

describe("kiln doctor on the jail", () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-bwrap-"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  /** A host whose bubblewrap is this script; its `true` and `sh` are the real ones. */
  async function found(script: string) {
    await writeFile(join(directory, "bwrap"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return checkJail({ PATH: [directory, "/usr/bin"].join(delimiter) }, 1000);
  }

  it("names a missing bubblewrap, and fails", async () => {
    const world = fakeContext({ env: { PATH: "/nonexistent" } });
    const code = await runCli(["doctor"], () => world.context);
    assert.equal(code, 1);
    assert.match(
      world.stdout,
      /^error +jail +bubblewrap is not installed\n +hint: apt-get install .*bubblewrap/m,
    );
    assert.match(world.stdout, /^warning +jail files +ldd is not installed/m);
    assert.match(world.stdout, /^ok +kilnd +not running; it is started when it is needed$/m);
    assert.match(world.stdout, /\nkiln cannot work yet\.\n$/);
    await world.close();
  });

  it("gives the words of one that can make none, with what to do", async () => {
    const { verdict, found: words, hint } = await found("echo 'bwrap: no namespaces for you' >&2; exit 1");
    assert.equal(verdict, "error");
    assert.match(words, /can make none: bwrap: no namespaces for you$/);
    assert.match(hint ?? "", /user namespaces.*KILN_ALLOW_UNCONFINED=yes/);
  });

  it("refuses an old one, and takes one that can", async () => {
    const old = await found("exit 0");
    assert.deepEqual([old.verdict, /takes no files by descriptor/.test(old.found)], ["error", true]);
    assert.equal((await found("echo --ro-bind-fd")).verdict, "ok");
    assert.equal((await checkJailFiles({ PATH: "/nonexistent" })).verdict, "warning");
  });
});

// Completion in a real bash, with names from a real kilnd. Other shells are not installed here: what they run is the
// same `kiln __complete`.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { installKiln, run, TestKiln } from "./harness.js";

let kiln: TestKiln;
let path = "";
before(async () => {
  kiln = await TestKiln.start();
  const image = await busyboxImage(join(kiln.root, "busybox"));
  await kiln.ok(["create", "-q", "--name", "idle-one", image]);
  await installKiln(join(kiln.root, "bin"));
  path = `${join(kiln.root, "bin")}:${process.env.PATH}`;
});
after(() => kiln.dispose());

/** What bash would offer for these words, the last one being typed. */
async function offers(...words: string[]): Promise<string[]> {
  const quoted = words.map((word) => `'${word}'`).join(" ");
  const script = `source <(kiln completion bash); COMP_WORDS=(kiln ${quoted}); COMP_CWORD=${words.length}
    _kiln; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const result = await run(["bash", "--norc", "-c", script], {
    env: { ...kiln.env, PATH: path },
    cwd: kiln.root,
  });
  assert.equal(result.stderr, "");
  return result.stdout.split("\n").filter((line) => line !== "");
}

describe("completion in bash", () => {
  it("offers verbs, flags and choices", async () => {
    assert.deepEqual(await offers("res"), ["restart"]);
    assert.deepEqual(await offers("run", "--publ"), ["--publish", "--publish-all", "--publish-mode"]);
    assert.deepEqual(await offers("run", "--pull", ""), ["missing", "always", "never"]);
  });

  it("offers the names of VMs, and only of running ones where they must run", async () => {
    assert.deepEqual(await offers("rm", "idle"), ["idle-one"]);
    assert.deepEqual(await offers("exec", "idle"), []);
  });

  it("offers files where a file is meant", async () => {
    assert.deepEqual(await offers("cp", "busy"), ["busybox"]);
  });
});

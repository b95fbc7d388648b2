import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { PasstProber } from "./probe.js";

/** passt's `--help`, and its start in the background: says that it has loaded the guard, as the real library does. */
const GOOD = `#!/bin/sh
case "$*" in *--help*) echo "  --map-host-loopback ADDR"; exit;; esac
echo started >> "$0.starts"
`;

describe("PasstProber", () => {
  let root = "";
  let guard = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-passt-"));
    guard = join(root, "guard.so");
    await writeFile(guard, "");
  });
  after(() => rm(root, { recursive: true, force: true }));

  async function script(name: string, text: string): Promise<string> {
    const path = join(root, name);
    await writeFile(path, text);
    await chmod(path, 0o755);
    return path;
  }

  const probe = (passt: string, netguard?: string) => new PasstProber({ passt, netguard }).probe();

  it("takes one that is new, begins, and has the guard", async () => {
    const announced = `printf 'egress all\\n%s\\n' "$0" >&4`;
    const passt = await script("good", `${GOOD}${announced}\n`);
    assert.deepEqual(await probe(passt, guard), { program: passt, why: `user network by ${passt}` });
  });

  it("refuses an old one, whose help is an error on stderr", async () => {
    const passt = await script("old", '#!/bin/sh\necho "--no-map-gw" >&2; exit 1\n');
    const { program, why } = await probe(passt, guard);
    assert.equal(program, undefined);
    assert.match(why, /no user network: .*older than August 2024/);
  });

  it("refuses one that does not load the guard", async () => {
    const { program, why } = await probe(await script("unguarded", GOOD), guard);
    assert.equal(program, undefined);
    assert.match(why, /did not load/);
  });

  it("refuses one that can't confine itself here, in its own words", async () => {
    const text = `${GOOD}echo "Couldn't create user namespace" >&2; exit 1\n`;
    const { program, why } = await probe(await script("failing", text), guard);
    assert.equal(program, undefined);
    assert.match(why, /exit code 1 Couldn't create user namespace/);
  });

  it("refuses where the guard is missing, and says when there is no passt", async () => {
    const passt = await script("alone", `${GOOD}printf 'egress all\\n%s\\n' "$0" >&4\n`);
    assert.match((await probe(passt, join(root, "missing.so"))).why, /guard.*is missing/);
    assert.match((await probe(passt)).why, /guard.*is missing/);
    assert.match((await probe(join(root, "nothing"), guard)).why, /passt is not installed/);
  });

  it("tries a good one once, and again when the file is another", async () => {
    const text = `${GOOD}printf 'egress all\\n%s\\n' "$0" >&4\n`;
    const passt = await script("counted", text);
    const prober = new PasstProber({ passt, netguard: guard });
    const starts = () => readFile(`${passt}.starts`, "utf8");
    for (let round = 0; round < 3; round++) assert.equal((await prober.probe()).program, passt);
    assert.equal(await starts(), "started\n");
    await script("counted", `${text}# another\n`);
    assert.equal((await prober.probe()).program, passt);
    assert.equal(await starts(), "started\nstarted\n");
  });
});

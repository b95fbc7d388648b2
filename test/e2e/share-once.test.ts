// What a VM does on a shared directory is done once, whatever becomes of its server and of kilnd meanwhile: killed five times a
// second, killed, ended in order, and followed by a kilnd of another release, which has programs of its own.

import assert from "node:assert/strict";
import { chown, cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { agentPath, CHECKOUT } from "../fixtures/assets.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { TestKiln } from "./harness.js";
import { killServers } from "./share-servers.js";

const POSIX = join(dirname(agentPath()), "kiln-posix");
const OWNER = 1000;
const ROUNDS = 400;
const COUNTS = 200;
const PROGRAMS = ["kiln-agent", "kiln-share", "kiln-sendfd", "kiln-tap", "kiln-lease", "libkiln_netguard.so"];

let kiln: TestKiln;
let shared = "";
/** Of the next release. */
let next = "";
before(async () => {
  kiln = await TestKiln.start({ kernel: "kiln" });
  shared = join(kiln.root, "shared");
  await mkdir(shared);
  // Root's kilnd serves as whom a directory belongs to, and as root never.
  if (process.getuid?.() === 0) await chown(shared, OWNER, OWNER);
  next = await nextRelease(join(kiln.root, "next"));
  const image = await busyboxImage(join(kiln.root, "busybox"));
  await kiln.ok([
    "run",
    "-d",
    "--name",
    "box",
    "-m",
    "256m",
    "-v",
    `${shared}:/work`,
    image,
    "sleep",
    "100000",
  ]);
  await kiln.ok(["cp", POSIX, "box:/posix"]);
});
after(() => kiln.dispose());

/** This checkout's, under another version and at another place. @returns its kilnd */
async function nextRelease(directory: string): Promise<string> {
  const built = "agent/target/release";
  await mkdir(join(directory, built), { recursive: true });
  for (const name of PROGRAMS) await cp(join(CHECKOUT, built, name), join(directory, built, name));
  await cp(join(CHECKOUT, "dist/src"), join(directory, "dist/src"), { recursive: true });
  for (const name of ["node_modules", "kernel", ".build"])
    await symlink(join(CHECKOUT, name), join(directory, name));
  const about = JSON.parse(await readFile(join(CHECKOUT, "package.json"), "utf8")) as { version: string };
  await writeFile(join(directory, "package.json"), JSON.stringify({ ...about, version: "99.0.0" }));
  return join(directory, "dist/src/daemon/main.js");
}

/** @returns the versions of those that were there */
async function replaceDaemons(signal: AbortSignal): Promise<string[]> {
  const versions: string[] = [];
  const ends = ["SIGKILL", "SIGTERM"] as const;
  for (let turn = 0; !signal.aborted; turn++) {
    await kiln.stopDaemon(ends[turn % ends.length]);
    await kiln.startDaemon(turn % 3 === 0 ? next : undefined);
    versions.push((await kiln.ok(["version", "--format", "{{.daemon.version}}"])).trim());
    // For the servers to get somewhere.
    await delay(1_500, undefined, { signal }).catch(() => undefined);
  }
  return versions;
}

const sh = (script: string) => kiln.ok(["exec", "box", "sh", "-c", script]);

describe("operations on a shared directory", () => {
  it("are done once each, 2,000 of them, with locks that hold, while servers and kilnds die and follow each other", async () => {
    const round = ["echo $i >> log", "(set -C; : > x$i)", "mkdir d$i", "mv x$i y$i", "ln y$i z$i"];
    const each = round
      .map((line) => `{ ${line}; } || echo "failed $i: ${line.replaceAll("$", "")}"`)
      .join("; ");
    const counting = `/posix --count /work ${COUNTS}`;
    const working = `i=0; while [ $i -lt ${ROUNDS} ]; do ${each}; i=$((i+1)); done`;
    const script = `cd /work; ${counting} & ${counting} & ${working}; wait; echo done`;
    const over = new AbortController();
    const [said, deaths, versions] = await Promise.all([
      sh(script).finally(() => over.abort()),
      killServers(kiln, over.signal),
      replaceDaemons(over.signal).finally(() => over.abort()),
    ]);
    assert.equal(said, "counted\ncounted\ndone\n");
    assert.ok(deaths > 3, `${deaths} deaths`);
    assert.ok(versions.includes("99.0.0") && new Set(versions).size > 1, versions.join(" "));
    const numbers = [...Array(ROUNDS).keys()];
    const lines = (await readFile(join(shared, "log"), "utf8")).trim().split("\n");
    assert.deepEqual(lines, numbers.map(String));
    const names = numbers.flatMap((number) => [`d${number}`, `y${number}`, `z${number}`]);
    assert.deepEqual((await readdir(shared)).sort(), ["count", "log", ...names].sort());
    assert.equal((await readFile(join(shared, "count"))).readBigUInt64LE(), BigInt(2 * COUNTS));
  });
});

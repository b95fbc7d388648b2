// kilnd on demand: started once, by whoever needs it first, and never by who only asks.

import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { identifyProcess } from "../../src/base/processes.js";
import { copiesAmong, eventually, KILN, makeRoot, run } from "./harness.js";

let root = "";
beforeEach(async () => {
  root = await makeRoot();
});
afterEach(async () => {
  for (const pid of await daemons()) await endDaemon(pid);
  await rm(root, { recursive: true, force: true });
});

const kiln = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  run([...KILN, ...args], { env: { ...process.env, KILN_ROOT: root, NO_COLOR: "1", ...env } });

/** Pids of the kilnds of this root, as their log tells. */
async function daemons(): Promise<number[]> {
  const pids: number[] = [];
  const { readdir } = await import("node:fs/promises");
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const command = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
    const environment = await readFile(`/proc/${entry}/environ`, "utf8").catch(() => "");
    if (command.includes("daemon/main.js") && environment.includes(`KILN_ROOT=${root}\0`))
      pids.push(Number(entry));
  }
  const copies = await copiesAmong(pids);
  return pids.filter((pid) => !copies.includes(pid));
}

async function endDaemon(pid: number): Promise<void> {
  process.kill(pid, "SIGTERM");
  await eventually("kilnd has ended", async () =>
    (await identifyProcess(pid)) === undefined ? true : undefined,
  );
}

describe("kilnd on demand", () => {
  it("is started by the first verb that needs it and serves the next", async () => {
    assert.equal((await kiln(["ps", "-q"])).code, 0);
    const [pid, ...others] = await daemons();
    assert.deepEqual(others, []);
    assert.equal((await kiln(["ps", "-q"])).code, 0);
    assert.deepEqual(await daemons(), [pid]);
    assert.match(await readFile(join(root, "run/kilnd.log"), "utf8"), /kilnd listens/);
    const info = (await kiln(["info"])).stdout;
    assert.match(info, /^Confinement of VMMs:\n +jail: +bubblewrap \d.*\n +cgroup: +\S/m);
  });

  it("is started by exec too, which then says that there is no such VM", async () => {
    const { code, stdout, stderr } = await kiln(["exec", "nobody", "true"]);
    assert.deepEqual([code, stdout], [125, ""]);
    assert.match(stderr, /^kiln: .*nobody/);
    assert.equal((await daemons()).length, 1);
  });

  it("is started once by many at the same moment", async () => {
    const results = await Promise.all(Array.from({ length: 5 }, () => kiln(["ps", "-q"])));
    assert.deepEqual(
      results.map(({ code, stderr }) => [code, stderr]),
      results.map(() => [0, ""]),
    );
    await eventually("one kilnd is left", async () => ((await daemons()).length === 1 ? true : undefined));
  });

  it("is not started by verbs that only ask about it", async () => {
    assert.match((await kiln(["info"])).stdout, /Daemon: not running/);
    assert.match((await kiln(["version"])).stdout, /Daemon: not running/);
    assert.equal((await kiln(["__complete", "exec", ""])).stdout, ":none\n");
    assert.equal((await kiln(["doctor"])).code, 0);
    assert.deepEqual(await daemons(), []);
  });

  it("is not started for a socket that was named", async () => {
    const result = await kiln(["ps"], { KILN_HOST: `unix://${root}/other.sock` });
    assert.equal(result.code, 1);
    assert.match(result.stderr, /connect to kilnd at .*other\.sock: there is no such socket\nhint: start it/);
    assert.deepEqual(await daemons(), []);
  });

  it("says why it could not start, with its own words", async () => {
    await writeFile(join(root, "data"), "a file where a directory must be");
    const result = await kiln(["ps"]);
    assert.equal(result.code, 1);
    assert.match(result.stderr, /^kiln: start kilnd for .*kiln\.sock: it ended with code \d+\n/);
    assert.match(result.stderr, /data/);
    assert.match(result.stderr, /hint: its log is .*kilnd\.log/);
  });
});

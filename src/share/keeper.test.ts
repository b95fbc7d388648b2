import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Code, KilnError } from "../base/errors.js";
import { readHelperRecord } from "../base/helper-record.js";
import { identifyProcess, isAlive, type ProcessId } from "../base/processes.js";
import { deferred } from "../base/runtime.js";
import type { SourceIdentity } from "./identity.js";
import { type KeeperOptions, ShareKeeper } from "./keeper.js";
import type { RunningServer } from "./server.js";
import type { ShareNotice } from "./types.js";

const SPEC = {
  ...{ id: "s0", source: "/srv", readOnly: false, notify: false },
  map: { kind: "squash", uid: 0, gid: 0 },
} as const;

const SOURCE = { dev: "1", ino: "2", born: "3" };

describe("ShareKeeper", () => {
  let root = "";
  let count = 0;
  const children = new Map<number, ChildProcess>();
  const begun: number[] = [];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-share-"));
  });
  after(async () => {
    for (const child of children.values()) child.kill("SIGKILL");
    await rm(root, { recursive: true, force: true });
  });

  /** A process in kiln-share's place. */
  async function startSleeper(forGood = false, source = SOURCE): Promise<RunningServer> {
    const child = spawn("sleep", ["600"], { stdio: "ignore" });
    const id = (await identifyProcess(child.pid ?? 0)) ?? assert.fail("it did not start");
    children.set(id.pid, child);
    const ended = once(child, "exit").then(() => ({ why: "its last words", forGood }));
    return { id, source, ended, go: () => begun.push(id.pid), release: () => undefined };
  }

  async function optionsFor(change: Partial<KeeperOptions> = {}): Promise<KeeperOptions> {
    const runDirectory = await mkdtemp(join(root, `r${count++}-`));
    const guestEnd = () => assert.fail("no server asks");
    const rest = {
      program: "",
      as: undefined,
      environment: undefined,
      join: async () => undefined,
      vmLives: async () => true,
    };
    return { runDirectory, guestEnd, spec: SPEC, ...rest, start: () => startSleeper(), ...change };
  }

  function pidOf(keeper: ShareKeeper): number {
    return keeper.process?.pid ?? assert.fail("nobody serves");
  }

  async function kill(pid: number): Promise<void> {
    const child = children.get(pid) ?? assert.fail("none of ours");
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** Resolves with the next notice of that kind. */
  function next(keeper: ShareKeeper, away: boolean): Promise<ShareNotice> {
    const heard = deferred<ShareNotice>();
    const stop = keeper.listen((notice) => {
      if (notice.away !== away) return;
      stop();
      heard.resolve(notice);
    });
    return heard.promise;
  }

  async function hasEnded(id: ProcessId): Promise<void> {
    const child = children.get(id.pid) ?? assert.fail("none of ours");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    assert.equal(await isAlive(id), false);
  }

  it("lets a server begin once it is on record and under the VM's limits", async () => {
    const joined: number[] = [];
    const options = await optionsFor({ join: async (pid) => void joined.push(pid) });
    const keeper = await ShareKeeper.start(options);
    const pid = pidOf(keeper);
    assert.deepEqual(joined, [pid]);
    assert.equal((await readHelperRecord(join(options.runDirectory, "share-s0.json")))?.pid, pid);
    assert.equal(begun.at(-1), pid);
    await keeper.end();
  });

  it("starts another one whenever one has ended, says so, and for ever", async () => {
    const options = await optionsFor();
    const keeper = await ShareKeeper.start(options);
    for (let round = 0; round < 4; round++) {
      const pid = pidOf(keeper);
      const [away, back] = [next(keeper, true), next(keeper, false)];
      await kill(pid);
      assert.equal((await away).message, "its last words");
      await back;
      assert.equal(keeper.notice, undefined);
      assert.notEqual(pidOf(keeper), pid);
    }
    assert.equal((await readHelperRecord(join(options.runDirectory, "share-s0.json")))?.pid, pidOf(keeper));
    await keeper.end();
  });

  it("tries no more where a server says that none can serve here, and says that", async () => {
    const keeper = await ShareKeeper.start(await optionsFor({ start: () => startSleeper(true) }));
    const away = next(keeper, true);
    await kill(pidOf(keeper));
    assert.match((await away).message, /its last words: it is not served until/);
    assert.equal(keeper.notice?.away, true);
    assert.equal(keeper.process, undefined);
    await keeper.end();
  });

  it("finds the one that an earlier kilnd has started, and notices its end", async () => {
    const options = await optionsFor();
    const first = await ShareKeeper.start(options);
    first.detach();
    const keeper = await ShareKeeper.adopt(options);
    assert.deepEqual(keeper.process, first.process);
    const back = next(keeper, false);
    await kill(pidOf(first));
    await back;
    assert.ok(keeper.process !== undefined && (await isAlive(keeper.process)));
    await keeper.end();
  });

  it("starts one where none is on record, or what is on record says nothing", async () => {
    for (const text of [undefined, "{", `{"version":1,"process":{"pid":1,"startTime":"1b00000000"}}`]) {
      const options = await optionsFor();
      if (text !== undefined) await writeFile(join(options.runDirectory, "share-s0.json"), text);
      const keeper = await ShareKeeper.adopt(options);
      await next(keeper, false);
      assert.ok(keeper.process !== undefined && (await isAlive(keeper.process)));
      await keeper.end();
    }
  });

  it("leaves none when the VM has ended, and when its start fails half-way", async () => {
    const keeper = await ShareKeeper.start(await optionsFor());
    const id = keeper.process ?? assert.fail("nobody serves");
    await keeper.end();
    await hasEnded(id);
    const refused = await optionsFor({ join: () => Promise.reject(new Error("no cgroup")) });
    await assert.rejects(ShareKeeper.start(refused), /no cgroup/);
    const last = [...children.keys()].at(-1) ?? assert.fail("none was started");
    await hasEnded({ pid: last, startTime: "" });
    assert.notEqual(begun.at(-1), last, "it was never let begin");
  });

  it("tells nothing and starts none where the VM has ended with the server", async () => {
    let lives = true;
    const told: ShareNotice[] = [];
    const asked = deferred<void>();
    const vmLives = async () => {
      asked.resolve();
      return lives;
    };
    const keeper = await ShareKeeper.start(await optionsFor({ vmLives }));
    keeper.listen((notice) => told.push(notice));
    lives = false;
    const count = children.size;
    await kill(pidOf(keeper));
    await asked.promise;
    await keeper.end();
    assert.deepEqual([told, children.size], [[], count]);
  });

  it("asks each server for what the first has served, also of the next kilnd's", async () => {
    const asked: (SourceIdentity | undefined)[] = [];
    const start = (same: SourceIdentity | undefined) => {
      asked.push(same);
      return startSleeper();
    };
    const options = await optionsFor({ start });
    const first = await ShareKeeper.start(options);
    const again = next(first, false);
    await kill(pidOf(first));
    await again;
    first.detach();
    const keeper = await ShareKeeper.adopt(options);
    const back = next(keeper, false);
    await kill(pidOf(first));
    await back;
    assert.deepEqual(asked, [undefined, SOURCE, SOURCE]);
    await keeper.end();
  });

  it("goes on trying where a start fails, and tells why once", async () => {
    let refusals = 3;
    const hinted = new KilnError(Code.Unavailable, "no memory", { reason: "x", hint: "wait" });
    const start = () => (refusals-- > 0 ? Promise.reject(hinted) : startSleeper());
    const keeper = await ShareKeeper.adopt(await optionsFor({ start }));
    const messages: string[] = [];
    keeper.listen(({ message }) => messages.push(message));
    await next(keeper, false);
    assert.deepEqual(messages, ["no server is on record", "no memory (wait)", "it is served again"]);
    await keeper.end();
  });
});

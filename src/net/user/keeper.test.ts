import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { after, before, describe, it } from "node:test";
import { identifyProcess, isAlive } from "../../base/processes.js";
import type { NetworkNotice } from "../types.js";
import { type KeeperOptions, UserNetworkKeeper } from "./keeper.js";
import type { PasstPlan } from "./plan.js";

const PLAN: PasstPlan = {
  argv: [],
  env: {},
  guard: { library: "", resolver: undefined },
  egress: { kind: "all" },
};

describe("UserNetworkKeeper", () => {
  let root = "";
  let count = 0;
  const children: ChildProcess[] = [];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-keeper-"));
  });
  after(async () => {
    for (const child of children) child.kill("SIGKILL");
    await rm(root, { recursive: true, force: true });
  });

  /** A process in passt's place, which ends when it is told to. */
  async function startSleeper() {
    const child = spawn("sleep", ["600"], { stdio: "ignore" });
    children.push(child);
    const id = await identifyProcess(child.pid ?? 0);
    assert.ok(id !== undefined);
    return { id, lastWords: () => "its last words", release: () => undefined };
  }

  async function optionsFor(change: Partial<KeeperOptions> = {}): Promise<KeeperOptions> {
    const runDirectory = await mkdtemp(join(root, `r${count++}-`));
    return { runDirectory, socket: "", plan: async () => PLAN, start: startSleeper, ...change };
  }

  async function die(keeper: UserNetworkKeeper): Promise<void> {
    const child = children.find(({ pid }) => pid === keeper.process?.pid);
    assert.ok(child !== undefined);
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  it("starts a new one for one that died, and says so", async () => {
    const keeper = await UserNetworkKeeper.start(await optionsFor());
    const notices: NetworkNotice[] = [];
    keeper.listen((notice) => notices.push(notice));
    const first = keeper.process;
    await die(keeper);
    keeper.lost();
    await keeper.settled();
    assert.ok(keeper.process !== undefined && (await isAlive(keeper.process)));
    assert.notDeepEqual(keeper.process, first);
    assert.equal(notices.length, 1);
    assert.equal(notices[0]?.down, false);
    assert.match(notices[0]?.message ?? "", /its last words/);
    await keeper.end();
  });

  it("puts each process under the VM's limits, also one that it finds; one that can't be is ended", async () => {
    const joined: number[] = [];
    const options = await optionsFor({ join: async (pid) => void joined.push(pid) });
    const keeper = await UserNetworkKeeper.start(options);
    const first = keeper.process?.pid;
    keeper.lost();
    await keeper.settled();
    const second = keeper.process?.pid;
    keeper.detach();
    const later = await UserNetworkKeeper.adopt(options);
    assert.deepEqual(joined, [first, second, second]);
    await later.end();
    const refused = await optionsFor({ join: () => Promise.reject(new Error("no cgroup")) });
    await assert.rejects(UserNetworkKeeper.start(refused), /no cgroup/);
    const last = children.at(-1) ?? assert.fail("none was started");
    assert.equal(last.signalCode ?? (await once(last, "exit"))[1], "SIGKILL");
  });

  it("gives up one that dies again and again, until a minute has passed", async () => {
    let now = 1_000_000;
    const keeper = await UserNetworkKeeper.start(await optionsFor({ nowMs: () => now }));
    const notices: boolean[] = [];
    keeper.listen(({ down }) => notices.push(down));
    for (let round = 0; round < 9; round++) {
      keeper.lost();
      await keeper.settled();
    }
    assert.deepEqual(notices, [false, false, false, false, false, true], "given up once, and told once");
    now += 61_000;
    keeper.lost();
    await keeper.settled();
    assert.equal(notices.at(-1), false);
    await keeper.end();
  });

  it("counts its minute by a clock that nobody sets", async (test) => {
    let ms = 1_000_000;
    let aheadMs = 0;
    test.mock.method(performance, "now", () => ms);
    test.mock.method(Date, "now", () => ms + aheadMs);
    const keeper = await UserNetworkKeeper.start(await optionsFor());
    const notices: boolean[] = [];
    keeper.listen(({ down }) => notices.push(down));
    const lose = async (times: number) => {
      for (let time = 0; time < times; time++) {
        keeper.lost();
        await keeper.settled();
      }
    };
    await lose(4);
    ms += 61_000;
    aheadMs = -3_600_000;
    await lose(4);
    assert.deepEqual(notices, Array(8).fill(false));
    await keeper.end();
  });

  // A VMM that was broken out of says what it likes: by it it had any number of processes outside its cgroup.
  it("has one process for a VM that says again and again that it has none", async () => {
    const keeper = await UserNetworkKeeper.start(await optionsFor());
    const before = children.length;
    const [first] = children.slice(-1);
    assert.ok(first);
    const ended = once(first, "exit");
    for (let round = 0; round < 100; round++) keeper.lost();
    await keeper.settled();
    await ended;
    assert.equal(children.length, before + 1, "a hundred words are one loss");
    for (let round = 0; round < 4; round++) {
      keeper.lost();
      await keeper.settled();
    }
    await Promise.all(children.slice(before - 1, -1).map((child) => child.signalCode ?? once(child, "exit")));
    assert.ok(keeper.process !== undefined && (await isAlive(keeper.process)));
    await keeper.end();
  });

  it("tries again where a start fails, and a bounded number of times", async () => {
    let starts = 0;
    const start = async () => {
      starts++;
      if (starts > 1) throw new Error("no user namespaces");
      return await startSleeper();
    };
    const keeper = await UserNetworkKeeper.start(await optionsFor({ start }));
    const notices: NetworkNotice[] = [];
    keeper.listen((notice) => notices.push(notice));
    keeper.lost();
    await keeper.settled();
    assert.equal(starts, 6);
    assert.equal(notices.length, 1);
    assert.equal(notices[0]?.down, true);
    assert.match(notices[0]?.message ?? "", /no user namespaces/);
    await keeper.end();
  });

  it("is found again by a later kilnd, which starts none beside it", async () => {
    const options = await optionsFor();
    const earlier = await UserNetworkKeeper.start(options);
    earlier.detach();
    const later = await UserNetworkKeeper.adopt(options);
    await later.settled();
    assert.deepEqual(later.process, earlier.process);
    await later.end();
  });

  it("is started where the earlier kilnd's has died, or where no record tells of one", async () => {
    const options = await optionsFor();
    const earlier = await UserNetworkKeeper.start(options);
    earlier.detach();
    await die(earlier);
    const none = await optionsFor();
    const damaged = await optionsFor();
    await writeFile(join(damaged.runDirectory, "passt.json"), '{"version":1,"process":{"pid":1}}');
    for (const each of [options, none, damaged]) {
      const later = await UserNetworkKeeper.adopt(each);
      await later.settled();
      assert.ok(later.process !== undefined && (await isAlive(later.process)));
      assert.notDeepEqual(later.process, earlier.process);
      await later.end();
    }
  });

  it("leaves none behind when the VM has ended, and starts none afterwards", async () => {
    const keeper = await UserNetworkKeeper.start(await optionsFor());
    const running = keeper.process;
    assert.ok(running !== undefined);
    await keeper.end();
    const child = children.find(({ pid }) => pid === running.pid);
    if (child?.signalCode === null) await once(child, "exit");
    const started = children.length;
    keeper.lost();
    await keeper.settled();
    assert.equal(children.length, started);
    assert.equal(await isAlive(running), false);
  });
});

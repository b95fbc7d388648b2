import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { executed } from "../../../test/fixtures/executed.js";
import { silentLogger } from "../../base/log.js";
import { identifyProcess } from "../../base/processes.js";
import type { VmmRecord } from "../../vmm/types.js";
import { OWNER_VARIABLE, OwnerMark } from "./owner-mark.js";
import { createUserPerVm, OWN_USER } from "./ownership.js";
import type { UserRegistry } from "./user-registry.js";
import { findVmms, isOf, isRecorded, jailedVm, killRecorded, killVmms, withProof } from "./vmm-processes.js";

const NAME = "0123456789abcdef";
const NOBODY = 65_534;

let root = "";
let mark: OwnerMark;
before(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-own-"));
  mark = new OwnerMark();
  await mark.open(root, silentLogger);
});
after(() => rm(root, { recursive: true, force: true }));

const context = () => ({ runRoot: root, dataRoot: root, mark, ownership: OWN_USER });
const directory = () => join(root, "v", NAME);

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** A process that names a VM's run directory, as a user's `tail` or `vim` does. */
async function sleeper(env: Readonly<Record<string, string>>, uid?: number): Promise<ChildProcess> {
  const words = ["-e", "setInterval(() => {}, 1000)", join(directory(), "qmp.sock")];
  const child = spawn(process.execPath, words, { env, ...(uid === undefined ? {} : { uid }) });
  children.push(child);
  await executed(child, env);
  return child;
}

describe("jailedVm", () => {
  const id = "ab".repeat(32);

  it("finds the VM by the root that its jail gave the process", () => {
    assert.equal(jailedVm(`/data/vms/${id}/vmm/jail/firecracker/${id}/root`, "/data"), id);
  });

  it("finds none elsewhere", () => {
    for (const path of ["/", "/data", `/other/vms/${id}/x`, `/data/vms/${id}0/x`, "/data/vms/short/x"]) {
      assert.equal(jailedVm(path, "/data"), undefined, path);
    }
  });
});

describe("findVmms and killVmms", () => {
  it("find a process by its root's mark, and end it and no other", async () => {
    const mine = await sleeper(mark.environment(directory()));
    const tail = await sleeper({});
    const found = await findVmms(context());
    assert.deepEqual(
      found.map(({ process: { pid }, runDirectory }) => [pid, runDirectory]),
      [[mine.pid, directory()]],
    );
    const ended = once(mine, "exit");
    await killVmms(found);
    await ended;
    assert.deepEqual(await findVmms(context()), []);
    assert.equal(tail.exitCode ?? tail.signalCode, null);
  });

  it("know the mark again after a restart of kilnd", async () => {
    const mine = await sleeper(mark.environment(directory()));
    const next = new OwnerMark();
    await next.open(root, silentLogger);
    const found = await findVmms({ ...context(), mark: next });
    assert.deepEqual(
      found.map(({ process: { pid } }) => pid),
      [mine.pid],
    );
  });

  it("take no mark of another root, no forged one and none with another name", async () => {
    const other = await mkdtemp(join(tmpdir(), "kiln-own-"));
    try {
      const theirs = new OwnerMark();
      await theirs.open(other, silentLogger);
      const value = mark.environment(directory())[OWNER_VARIABLE] ?? "";
      await sleeper(theirs.environment(directory()));
      await sleeper({ [OWNER_VARIABLE]: `${NAME}.${"0".repeat(64)}` });
      await sleeper({ [OWNER_VARIABLE]: `f${value.slice(1)}` });
      await sleeper({ OTHER: `x${OWNER_VARIABLE}=${value}` });
      assert.deepEqual(await findVmms(context()), []);
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });

  const root0 = process.getuid?.() === 0;
  it("take no process of a user that is none of ours, whatever its mark", {
    skip: root0 ? false : "another user's process can only be started by root",
  }, async () => {
    await sleeper(mark.environment(directory()), NOBODY);
    assert.deepEqual(await findVmms(context()), []);
    const range = { firstUid: NOBODY, count: 1 };
    assert.equal(
      (await findVmms({ ...context(), ownership: createUserPerVm({} as UserRegistry, range) })).length,
      1,
    );
  });
});

describe("a recorded VMM", () => {
  async function recorded(): Promise<{ child: ChildProcess; record: VmmRecord }> {
    const child = await sleeper({});
    const id = await identifyProcess(child.pid ?? 0);
    assert.ok(id);
    const capabilities = {} as VmmRecord["capabilities"];
    return { child, record: await withProof({ driver: "qemu", process: id, capabilities, facts: {} }) };
  }

  it("is known by what it runs too", async () => {
    const { child, record } = await recorded();
    assert.equal(await isRecorded(record, OWN_USER), true);
    const other = { ...record, facts: { executable: "1:1" } };
    assert.equal(await isRecorded(other, OWN_USER), false);
    await killRecorded(other, OWN_USER);
    assert.equal(child.exitCode ?? child.signalCode, null);
    const ended = once(child, "exit");
    await killRecorded(record, OWN_USER);
    await ended;
    assert.equal(await isRecorded(record, OWN_USER), false);
  });

  it("is one of our users', with the executable that was recorded where both are known", () => {
    const record = (facts: Record<string, string>) => ({ facts }) as unknown as VmmRecord;
    const uid = process.getuid?.() ?? 0;
    const rows: [Record<string, string>, number, string, boolean][] = [
      [{ executable: "8:1" }, uid, "8:1", true],
      [{ executable: "8:1" }, uid, "8:2", false],
      [{}, uid, "8:2", true],
      [{ executable: "8:1" }, uid, "", true],
      [{ executable: "8:1" }, uid + 1, "8:1", false],
    ];
    for (const [facts, user, executable, expected] of rows) {
      assert.equal(isOf(record(facts), { uid: user, executable }, OWN_USER), expected);
    }
  });
});

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { describe, it } from "node:test";
import { hasEnded, identifyProcess, isAlive, parseProcStat, readTraits, signalProcess } from "./processes.js";

const line = (comm: string, state: string, threads: number): string =>
  `4242 (${comm}) ${state} 1 4242 4242 0 -1 4194560 9 0 0 0 11 7 0 0 20 0 ${threads} 0 987654 1048576 321 18446744073709551615`;

describe("processes", () => {
  it("are read from /proc/<pid>/stat whatever their names are", () => {
    const expected = { state: "S", threads: 3, startTime: "987654", cpuTicks: 18, rssPages: 321 };
    for (const comm of ["qemu", "a b", ") R 1 (", "(("])
      assert.deepEqual(parseProcStat(line(comm, "S", 3)), expected);
  });

  it("have ended as zombies, but not while another thread of theirs has still to go", () => {
    assert.equal(hasEnded(parseProcStat(line("qemu", "Z", 1))), true);
    assert.equal(hasEnded(parseProcStat(line("qemu", "Z", 2))), false);
    assert.equal(hasEnded(parseProcStat(line("qemu", "X", 0))), true);
    assert.equal(hasEnded(parseProcStat(line("qemu", "D", 1))), false);
  });

  it("are known by pid and start time", async () => {
    const child = spawn("sleep", ["60"]);
    const ended = once(child, "exit");
    assert.ok(child.pid !== undefined);
    const id = await identifyProcess(child.pid);
    assert.ok(id !== undefined);
    const [ticks = "", boot = ""] = id.startTime.split("b", 1).concat(id.startTime.replace(/^\d+b/, ""));
    assert.equal(await isAlive({ ...id, startTime: `${Number(ticks) - 1}b${boot}` }), false, "another's pid");
    const earlier = boot === "00000000" ? "11111111" : "00000000";
    assert.equal(await isAlive({ ...id, startTime: `${ticks}b${earlier}` }), false, "of an earlier boot");
    assert.equal(await isAlive({ ...id, startTime: ticks }), true, "as the first release wrote it");
    assert.equal(await isAlive(id), true);
    const { dev, ino } = await stat(`/proc/${child.pid}/exe`, { bigint: true });
    assert.deepEqual(await readTraits(child.pid), { uid: process.getuid?.(), executable: `${dev}:${ino}` });
    assert.equal(await signalProcess(id, "SIGKILL"), true);
    await ended;
    assert.equal(await isAlive(id), false);
    assert.equal(await signalProcess(id, "SIGKILL"), false);
  });
});

// What was measured on real Firecracker binaries, 1.14.4 to 1.17-dev, as rules of the driver.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { identifyProcess } from "../../base/processes.js";
import { ConsoleLog } from "../console-log.js";
import type { VmmRecord } from "../types.js";
import { VmmProcess } from "../vmm-process.js";
import { DialPatience } from "./dial-patience.js";
import { FirecrackerHandle } from "./handle.js";
import { planJail } from "./jailer.js";
import { LogWatch } from "./log-watch.js";
import { planPaths } from "./paths.js";
import { pauseWay } from "./pause.js";

describe("pause", () => {
  it("is by signal where Firecracker's own cuts the guest off, or where nobody knows", () => {
    const ways = ["1.14.4", "1.15.1", "1.16.0", "1.16.1", "1.17.0-dev", "1.17.0", "2.0.0"].map((v) =>
      pauseWay(v),
    );
    assert.deepEqual(ways, ["api", "api", "signal", "signal", "api", "api", "api"]);
    assert.equal(pauseWay(undefined), "signal");
  });

  it("by signal: the process stops and goes on, is paused to whoever asks, and no call waits for its API", async (t) => {
    const directory = await mkdtemp(join(tmpdir(), "fc-pause-"));
    const calls: string[] = [];
    const api = createServer((request, response) => {
      calls.push(`${request.method} ${request.url}`);
      response.end('{"state":"Running"}');
    });
    const child = spawn("sleep", ["1000"], { stdio: "ignore" });
    t.after(async () => {
      child.kill("SIGKILL");
      api.close();
      await rm(directory, { recursive: true, force: true });
    });
    const paths = planPaths(directory);
    await new Promise<void>((resolve) => api.listen(paths.api, resolve));
    const id = await identifyProcess(child.pid ?? 0);
    assert.ok(id !== undefined);
    const vmm = await VmmProcess.attach(id);
    assert.ok(vmm !== undefined);
    const record = {
      driver: "firecracker",
      process: id,
      facts: { version: "1.16.1" },
    } as unknown as VmmRecord;
    const log = await ConsoleLog.start(join(directory, "console.log"));
    const owners = [process.getuid?.() ?? 0];
    const rest = {
      disks: new Map(),
      ports: new Map(),
      hotDirectory: "/nowhere",
      join: async () => undefined,
      runs: Promise.resolve(),
    };
    const handle = new FirecrackerHandle({ record, paths, owners, process: vmm, log, ...rest });
    const state = async () => /^State:\t(\S)/m.exec(await readFile(`/proc/${id.pid}/status`, "utf8"))?.[1];

    assert.equal(await handle.state(), "Running");
    await handle.pause();
    while ((await state()) !== "T") await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await handle.state(), "Paused");
    assert.ok((await handle.stats()).rssBytes > 0);
    await assert.rejects(handle.setBalloon(0), /paused/);
    await handle.resume();
    while ((await state()) === "T") await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await handle.state(), "Running");
    assert.deepEqual(calls, ["GET /", "GET /"], "nothing was asked of a stopped one");
    await handle.detach();
  });
});

describe("dial", () => {
  it("waits a part of the boot so far for an answer, and long once there was one", () => {
    const patience = new DialPatience();
    const waits = [0, 200, 2_000, 20_000, 60_000].map((now) => patience.next(now));
    assert.deepEqual(waits, [100, 100, 500, 5_000, 5_000]);
    const answered = new DialPatience();
    answered.next(0);
    answered.answered();
    assert.equal(answered.next(1), 5_000);
  });
});

describe("last words", () => {
  it("are errors and warnings, not what a healthy Firecracker says", () => {
    const watch = new LogWatch();
    const say = (text: string) =>
      watch.take(Buffer.from(`2026-01-01T00:00:00.000000000 [id:main] ${text}\n`));
    for (const chatter of [
      "Running Firecracker v1.17.0-dev",
      'Listening on API socket ("/api.sock").',
      "API server started.",
      'The API server received a Get request on "/".',
      "'resume vm' VMM action took 12 us.",
      "Artificially kick devices.",
      "[Balloon] signaling event queue",
      "signalling event queue",
      "[Net] notifying tx queue",
      "spurious notification of eth0",
      "The API request took 12 us.",
      "Successfully started microvm that was configured from one single json",
      "Received a VcpuEvent::Resume message with immediate_exit enabled.",
      "3 messages were suppressed",
      "Vmm is stopping.",
      "Killing vCPU threads",
    ]) {
      say(chatter);
    }
    assert.equal(watch.lastWords(), "");
    say("Failed to validate memory of the guest");
    assert.equal(watch.lastWords(), "Failed to validate memory of the guest");
  });
});

describe("the jailer's words", () => {
  it("ask for no cgroup version: without a cgroup2 mount the jailer would end, with one it moves the VM", () => {
    const spec = {
      vmId: "a".repeat(64),
      stateDirectory: "/s",
      runDirectory: "/r",
      kernel: "/k",
      initrd: "/i",
      disks: [],
      cards: [],
      ports: [],
    };
    const jail = planJail(
      spec as unknown as Parameters<typeof planJail>[0],
      { uid: 5, gid: 5 },
      "jailer",
      "/usr/bin/firecracker-v1.15.1",
    );
    assert.ok(!jail.argv.includes("--cgroup-version"));
    assert.equal(jail.root, `/s/jail/firecracker-v1.15.1/${"a".repeat(64)}/root`);
  });
});

// What Firecracker's API takes and refuses, as a table of calls: asked of the real one where there is one, and of the
// stand-in, which may refuse more but never less (what it has not at all: /mmds, /cpu-config, /pmem, /hotplug, PATCH of
// the machine's configuration, Transparent huge pages). Each group has a fresh process.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { delay } from "../../src/base/runtime.js";

export interface Target {
  readonly program: string;
  readonly isStandin: boolean;
  /** Runs, or at least starts, on it. */
  readonly kernel: string;
}

interface Call {
  readonly ask: readonly [method: string, path: string, body?: unknown];
  readonly status: number;
  /** In the refusal. */
  readonly says?: RegExp;
  /** Where the stand-in refuses what the real one takes. */
  readonly standin?: 400;
}

interface Group {
  readonly what: string;
  readonly calls: (at: { kernel: string; disk: string; directory: string }) => readonly Call[];
  /** How the process ends by itself after the last call. */
  readonly ends?: number;
}

const refused = (says: RegExp, ...ask: Call["ask"]): Call => ({ ask, status: 400, says });
const taken = (...ask: Call["ask"]): Call => ({ ask, status: 204 });

const EARLY = /not supported before starting/;
const LATE = /not supported after starting/;
const SNAPSHOT = { snapshot_path: "state", mem_file_path: "memory" };
const MISSING = {
  snapshot_path: "/nonexistent/state",
  mem_backend: { backend_type: "File", backend_path: "/nonexistent/memory" },
};
const LOAD = ["PUT", "/snapshot/load", MISSING] as const;
const drive = (disk: string, more: object = {}) =>
  ["PUT", "/drives/cow", { drive_id: "cow", is_root_device: false, path_on_host: disk, ...more }] as const;
const bootSource = (kernel: string) => ["PUT", "/boot-source", { kernel_image_path: kernel }] as const;
const machine = (more: object) =>
  ["PUT", "/machine-config", { vcpu_count: 1, mem_size_mib: 128, ...more }] as const;

/** Of its HTTP layer: a line end within a string is no JSON. */
const NO_JSON = /^\{ "error": "[^"]*\n[^"]*" \}$/;
/** In all: drives, cards, and each of vsock, balloon and entropy. */
const MOST_DEVICES = 17;

const BUCKET = { size: 1, refill_time: 1 };

const GROUPS: readonly Group[] = [
  {
    what: "rate limiters",
    calls: ({ disk }) => [
      ...[{}, { bandwidth: null }, { bandwidth: BUCKET }, { ops: { ...BUCKET, one_time_burst: 5 } }].map(
        (rate_limiter) => taken(...drive(disk, { rate_limiter })),
      ),
      ...[
        { bogus: 1 },
        7,
        { bandwidth: 7 },
        { bandwidth: {} },
        { bandwidth: { size: 1 } },
        { ops: { size: -1, refill_time: 1 } },
        { ops: { size: "1", refill_time: 1 } },
      ].map((rate_limiter) => refused(/deserializing/, ...drive(disk, { rate_limiter }))),
      refused(/deserializing/, "PUT", "/entropy", { rate_limiter: { bandwidth: { size: 1 } } }),
      refused(/deserializing/, "PUT", "/network-interfaces/e", {
        ...{ iface_id: "e", host_dev_name: "none", rx_rate_limiter: { bogus: 1 } },
      }),
    ],
  },
  {
    what: "logger and metrics",
    calls: ({ directory }) => [
      refused(/Metrics error.*No such file/, "PUT", "/metrics", { metrics_path: "/nonexistent/metrics" }),
      taken("PUT", "/metrics", { metrics_path: join(directory, "metrics") }),
      refused(/Reinitialization/, "PUT", "/metrics", { metrics_path: join(directory, "metrics") }),
      refused(/Logger error.*No such file/, "PUT", "/logger", { log_path: "/nonexistent/log" }),
      refused(/deserializing/, "PUT", "/logger", { level: "bogus" }),
      taken("PUT", "/logger", { log_path: join(directory, "log"), level: "Info" }),
    ],
  },
  {
    what: "machine, drives and vsock",
    calls: ({ disk, directory }) => [
      refused(/[Mm]emory|page/, ...machine({ mem_size_mib: 129, huge_pages: "2M" })),
      refused(/vCPU/, ...machine({ vcpu_count: 3, smt: true })),
      refused(/deserializing/, ...machine({ cpu_template: "bogus" })),
      refused(/deserializing/, ...machine({ smt: null })),
      refused(/./, ...drive(directory)),
      refused(/./, ...drive(disk, { socket: "/nonexistent/socket" })),
      taken(...drive(disk, { is_root_device: true })),
      refused(/root/, "PUT", "/drives/other", {
        drive_id: "other",
        is_root_device: true,
        path_on_host: disk,
      }),
      refused(/[Vv]sock/, "PUT", "/vsock", { guest_cid: 3, uds_path: disk }),
      refused(/[Vv]sock/, "PUT", "/vsock", { guest_cid: 3, uds_path: `${directory}/${"x".repeat(120)}` }),
      taken("PUT", "/balloon", { amount_mib: 100, deflate_on_oom: true }),
      refused(/balloon/, ...machine({ mem_size_mib: 64 })),
    ],
  },
  {
    what: "what its HTTP layer does not let through",
    calls: () => [
      refused(NO_JSON, "POST", "/actions", { action_type: "FlushMetrics" }),
      refused(NO_JSON, "PUT", "/machine-config", { cpu_template: "x".repeat(51_200) }),
      { ask: ["GET", "/"], status: 200 },
    ],
  },
  {
    what: "one device too many, entropy counted",
    calls: ({ kernel, disk }) => [
      taken(...bootSource(kernel)),
      ...Array.from({ length: MOST_DEVICES }, (_, index) =>
        taken("PUT", `/drives/d${index}`, {
          drive_id: `d${index}`,
          is_root_device: false,
          path_on_host: disk,
        }),
      ),
      taken("PUT", "/entropy", {}),
      refused(/./, "PUT", "/actions", { action_type: "InstanceStart" }),
    ],
  },
  {
    what: "names that kiln never uses",
    calls: ({ directory }) => [
      { ...taken("PUT", "/vsock", { guest_cid: 2, uds_path: `${directory}/v` }), standin: 400 },
      ...["//", "/version/", "/vm/config/x"].map(
        (path): Call => ({ ask: ["GET", path], status: 200, standin: 400 }),
      ),
    ],
  },
  {
    what: "calls that come too early",
    calls: ({ disk }) => [
      refused(EARLY, "PUT", "/snapshot/create", SNAPSHOT),
      refused(/deserializing/, "PUT", "/snapshot/create", {}),
      refused(/Invalid request method/, "PUT", "/snapshot/bogus", SNAPSHOT),
      refused(EARLY, "PATCH", "/drives/cow", { drive_id: "cow", path_on_host: disk }),
      refused(EARLY, "DELETE", "/drives/cow"),
      refused(EARLY, "PATCH", "/network-interfaces/e", { iface_id: "e" }),
      refused(EARLY, "PATCH", "/vm", { state: "Paused" }),
      refused(EARLY, "PATCH", "/balloon", { amount_mib: 1 }),
      refused(EARLY, "PATCH", "/balloon/statistics", { stats_polling_interval_s: 1 }),
      refused(EARLY, "GET", "/balloon/statistics"),
      refused(/No balloon device/, "GET", "/balloon"),
      refused(EARLY, "PUT", "/actions", { action_type: "FlushMetrics" }),
      refused(/without kernel/, "PUT", "/actions", { action_type: "InstanceStart" }),
    ],
  },
  {
    what: "a snapshot loaded after something was configured",
    calls: ({ kernel }) => [
      taken(...bootSource(kernel)),
      refused(/not allowed after configuring/, ...LOAD),
      { ask: ["GET", "/"], status: 200 },
    ],
  },
  {
    what: "a snapshot that is not there, which ends the process",
    calls: () => [
      refused(/deserializing/, "PUT", "/snapshot/load", { snapshot_path: "/nonexistent/state" }),
      refused(/Failed to open snapshot file/, ...LOAD),
    ],
    ends: 1,
  },
];

/** Needs a kernel that starts. */
const STARTED: Group = {
  what: "calls to a running VM",
  calls: ({ kernel, disk, directory }) => [
    taken(...bootSource(kernel)),
    taken(...drive(disk)),
    taken("PUT", "/balloon", { amount_mib: 0, deflate_on_oom: true }),
    taken("PUT", "/actions", { action_type: "InstanceStart" }),
    refused(/Device not activated/, "PATCH", "/balloon", { amount_mib: 1 }),
    refused(LATE, "PUT", "/actions", { action_type: "InstanceStart" }),
    refused(/unavailable while running/, "PUT", "/snapshot/create", SNAPSHOT),
    refused(LATE, ...LOAD),
    taken("PATCH", "/drives/cow", { drive_id: "cow", path_on_host: disk }),
    refused(/does not match the id/, "PATCH", "/drives/cow", { drive_id: "other", path_on_host: disk }),
    refused(/Device not found/, "PATCH", "/drives/none", { drive_id: "none", path_on_host: disk }),
    refused(/backing file/, "PATCH", "/drives/cow", { drive_id: "cow", path_on_host: "/nonexistent" }),
    refused(/different backend/, "PATCH", "/drives/cow", { drive_id: "cow" }),
    refused(/deserializing/, "PATCH", "/drives/cow", { drive_id: "cow", bogus: 1 }),
    refused(/PCI is not enabled/, "DELETE", "/drives/cow"),
    refused(/PCI is not enabled/, ...drive(disk)),
    refused(/PCI is not enabled/, "PUT", "/network-interfaces/e", { iface_id: "e", host_dev_name: "none" }),
    refused(LATE, "PUT", "/vsock", { guest_cid: 3, uds_path: `${directory}/v` }),
    refused(LATE, "PUT", "/metrics", { metrics_path: join(directory, "metrics") }),
    refused(LATE, "PUT", "/logger", { level: "Info" }),
    refused(LATE, ...bootSource(kernel)),
    taken("PATCH", "/vm", { state: "Paused" }),
    taken("PATCH", "/vm", { state: "Paused" }),
    taken("PATCH", "/vm", { state: "Resumed" }),
  ],
};

/** @param target asked once a test runs */
export function answersContract(target: () => Target): void {
  for (const group of [...GROUPS, STARTED]) {
    it(`answers to ${group.what}`, () => askAll(target(), group));
  }
}

async function askAll({ program, kernel, isStandin }: Target, group: Group): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "kfa-"));
  const disk = join(directory, "disk");
  await writeFile(disk, Buffer.alloc(1 << 20));
  const api = join(directory, "api");
  const child = spawn(program, ["--api-sock", api], { stdio: "ignore", cwd: directory });
  const ended = once(child, "exit");
  try {
    await untilListening(api, child);
    for (const { ask, status, says, standin } of group.calls({ kernel, disk, directory })) {
      const answer = await call(api, ...ask);
      const said = `${ask[0]} ${ask[1]} ${JSON.stringify(ask[2])}: ${answer.text}`;
      assert.equal(answer.status, isStandin ? (standin ?? status) : status, said);
      if (says !== undefined) assert.match(answer.text, says, said);
    }
    if (group.ends !== undefined) assert.deepEqual((await ended)[0], group.ends);
  } finally {
    child.kill("SIGKILL");
    await ended;
    await rm(directory, { recursive: true, force: true });
  }
}

/** Its socket's name is there a moment before anybody listens at it. */
async function untilListening(path: string, child: ChildProcess): Promise<void> {
  while (!(await accepts(path))) {
    assert.equal(child.exitCode, null, "it has ended at its start");
    await delay(10);
  }
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path, () => resolve(true));
    probe.once("error", () => resolve(false)).once("connect", () => probe.destroy());
  });
}

function call(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asked.on("error", reject);
    const content = body === undefined ? "" : JSON.stringify(body);
    asked.setHeader("content-length", Buffer.byteLength(content));
    asked.end(content);
  });
}

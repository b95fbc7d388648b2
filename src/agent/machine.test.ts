import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import { hasReason } from "../base/errors.js";
import { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import {
  type BootRequest,
  type BootResponseSchema,
  EndAction,
  Mode,
  Phase,
  type StateResponseSchema,
} from "../gen/kiln/agent/v1/machine_pb.js";
import type { StatsResponseSchema } from "../gen/kiln/agent/v1/stats_pb.js";
import type { BootOrder } from "./boot-order.js";
import { callsOver } from "./calls.js";

const MOST = 2n ** 64n - 1n;
const DAY_MS = 86_400_000;

const ORDER: BootOrder = {
  mode: "system",
  root: {
    ...{ baseDevice: "/dev/vda", cowDevice: "/dev/vdb", baseSerial: "base", cowSerial: "cow" },
    ...{ persistent: true, chunkSectors: 128 },
  },
  process: { args: ["/sbin/init"], env: ["A=b"] },
  hostname: "box",
  hosts: [{ address: "10.0.0.1", names: ["one"] }],
  network: {
    interfaces: [
      {
        ...{ mac: "02:00:00:00:00:01", name: "eth0", addresses: ["10.0.2.15/24"] },
        ...{ gateway4: "10.0.2.2", gateway6: "", mtu: 1500 },
      },
    ],
  },
  clockUnixNs: 5n,
  entropy: Uint8Array.of(7),
  endAction: "restart",
  ...{ stopSignal: 15, stopTimeoutMs: 10, directories: ["/data"], initPatienceMs: 3, hold: true },
};

interface Answers {
  readonly state?: MessageInitShape<typeof StateResponseSchema>;
  readonly boot?: MessageInitShape<typeof BootResponseSchema>;
  readonly stats?: MessageInitShape<typeof StatsResponseSchema>;
}

function guest({ state = {}, boot = {}, stats = {} }: Answers) {
  const boots: BootRequest[] = [];
  const transport = createRouterTransport((router) => {
    router.service(AgentService, {
      state: () => state,
      boot: (request) => {
        boots.push(request);
        return boot;
      },
      startProgram: () => boot,
      stats: () => stats,
    });
  });
  return { boots, machine: callsOver(transport).machine };
}

describe("the guest as a machine", () => {
  it("tells its phase in words, and one that nobody knows as such", async () => {
    const phaseOf = async (phase: Phase) => (await guest({ state: { phase } }).machine.state()).phase;
    const known = [Phase.WAITING, Phase.BOOTING, Phase.HELD, Phase.RUNNING, Phase.EXITED, Phase.ENDING];
    const words = ["waiting", "booting", "held", "running", "exited", "ending"];
    assert.deepEqual(await Promise.all(known.map(phaseOf)), words);
    assert.deepEqual(await Promise.all([Phase.UNSPECIFIED, 99 as Phase].map(phaseOf)), [
      "unknown",
      "unknown",
    ]);
    assert.equal((await guest({ state: { exit: { code: 0 } } }).machine.state()).hasEnded, true);
    assert.equal((await guest({}).machine.state()).hasEnded, false);
  });

  it("is told its boot as it is ordered", async () => {
    const { boots, machine } = guest({ boot: { held: true } });
    assert.deepEqual(await machine.boot(ORDER), {
      ...{ programRuns: false, held: true, timings: undefined, filled: [] },
    });
    const { mode, endAction, root, process, hosts, network, dns, modules, directories, hold } =
      boots[0] ?? {};
    assert.deepEqual([mode, endAction, hold, directories], [Mode.SYSTEM, EndAction.RESTART, true, ["/data"]]);
    assert.deepEqual([root?.cowDevice, root?.cowSerial, root?.persistent], ["/dev/vdb", "cow", true]);
    assert.deepEqual([process?.args, process?.env], [["/sbin/init"], ["A=b"]]);
    assert.deepEqual([hosts?.[0]?.names, network?.interfaces[0]?.addresses], [["one"], ["10.0.2.15/24"]]);
    assert.deepEqual([dns, modules], [undefined, undefined]);
  });

  it("is told of mounts and limits, and says of no other mount that it was filled", async () => {
    const boot = { pid: 1, filled: ["v1", "v2", "nobodys"] };
    const { boots, machine } = guest({ state: { features: ["mounts"] }, boot });
    const volume = { kind: "disk", serial: "s1", fill: true } as const;
    const disk = { kind: "disk", serial: "s2" } as const;
    const rlimits = [{ name: "nofile", soft: 7, hard: Number.POSITIVE_INFINITY }];
    const { filled } = await machine.boot({
      ...ORDER,
      process: { ...ORDER.process, rlimits },
      ...{ readOnlyRoot: true, shmBytes: 65_536, sysctls: { "net.a": "1" } },
      mounts: [
        { id: "v1", target: "/data", readOnly: false, source: volume },
        { id: "v2", target: "/x", readOnly: true, source: disk },
      ],
    });
    assert.deepEqual(filled, ["v1"]);
    const { readOnlyRoot, shmBytes, sysctls, mounts = [], process } = boots[0] ?? {};
    assert.deepEqual([readOnlyRoot, shmBytes, sysctls], [true, 65_536n, { "net.a": "1" }]);
    assert.deepEqual(
      mounts.map(({ id, target, readOnly, source }) => [id, target, readOnly, source.case]),
      [
        ["v1", "/data", false, "disk"],
        ["v2", "/x", true, "disk"],
      ],
    );
    assert.deepEqual([process?.rlimits[0]?.soft, process?.rlimits[0]?.hard], [7n, MOST]);
  });

  it("is not booted by an agent that would leave out what it is to have", async () => {
    const { boots, machine } = guest({ boot: { pid: 1 } });
    const tmpfs = { id: "t", target: "/t", readOnly: false, source: { kind: "tmpfs" } } as const;
    for (const asked of [{ mounts: [tmpfs] }, { readOnlyRoot: true }, { shmBytes: 4096 }]) {
      await assert.rejects(machine.boot({ ...ORDER, ...asked }), (error) =>
        hasReason(error, "agent-too-old"),
      );
    }
    assert.deepEqual(boots, []);
    assert.equal((await machine.boot({ ...ORDER, mounts: [] })).programRuns, true);
  });

  it("says no time of its boot and no number of its use that nobody can hold", async () => {
    const boot = { pid: -1, timings: { initUs: 1500n, startedUs: MOST } };
    const { machine } = guest({ boot, stats: { memoryTotalBytes: MOST, processes: 2 ** 32 - 1 } });
    const { programRuns, timings } = await machine.startProgram();
    assert.deepEqual([programRuns, timings?.initMs, timings?.startedMs], [true, 1.5, DAY_MS]);
    const { memoryTotalBytes, processes } = await machine.stats();
    assert.deepEqual([memoryTotalBytes, processes], [BigInt(Number.MAX_SAFE_INTEGER), 4_194_304]);
  });
});

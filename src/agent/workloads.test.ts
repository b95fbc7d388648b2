import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRouterTransport } from "@connectrpc/connect";
import { hasReason } from "../base/errors.js";
import { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import { WorkloadKind, WorkloadService } from "../gen/kiln/agent/v1/workload_pb.js";
import { callsOver } from "./calls.js";
import type { WorkloadCalls } from "./workloads.js";

const ID = "0123456789abcdef0123456789abcdef";

/** An agent that notes what it is asked; one of 0.1.0 has neither features nor WorkloadService. */
function agent(features: readonly string[]) {
  const asked: string[] = [];
  const transport = createRouterTransport((router) => {
    router.service(AgentService, {
      state: () => {
        asked.push("State");
        return { features: [...features] };
      },
      signal: ({ signal }) => {
        asked.push(`main: signal ${signal}`);
        return {};
      },
      stop: ({ signal, timeoutMs }) => {
        asked.push(`main: stop ${signal} ${timeoutMs}`);
        return {};
      },
    });
    if (features.length === 0) return;
    router.service(WorkloadService, {
      startWorkload: ({ id, process }) => {
        asked.push(`${id}: start ${process?.args.join(" ")}`);
        return { pid: 7 };
      },
      listWorkloads: () => ({
        workloads: [
          { id: "main", kind: WorkloadKind.MAIN, pid: 1 },
          { id: ID, kind: WorkloadKind.EXTRA, pid: 7, nextSequence: 5n, exit: { code: 3 } },
          { id: "later", kind: 99 as WorkloadKind },
        ],
      }),
      signalWorkload: ({ id, signal }) => {
        asked.push(`${id}: signal ${signal}`);
        return {};
      },
      async *writeWorkloadInput(requests) {
        for await (const { message } of requests) {
          const { case: kind, value } = message;
          if (kind === "start") asked.push(`${value.id}: input of ${value.writer}`);
          if (kind === "data") yield { taken: BigInt(value.length) };
          if (kind === "eof") asked.push(`${ID}: end of input`);
        }
      },
      waitWorkload: () => ({ exit: { code: 3 } }),
    });
  });
  return { asked, ...callsOver(transport) };
}

async function* pieces() {
  yield { data: Buffer.from("abc"), eof: true };
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

describe("programs of a guest by id", () => {
  it("of an older agent: only the main one, and nothing about another reaches it", async () => {
    const { asked, workloads } = agent([]);
    await workloads.main.signal(15);
    assert.deepEqual(asked, ["main: signal 15"]);
    const extra: WorkloadCalls = workloads.get(ID);
    const calls = [
      () => extra.signal(9),
      () => extra.stop(15, 10),
      () => extra.resize({ columns: 1, rows: 1 }),
      () => extra.ackLogs(5n),
      () => extra.wait(),
      () => drain(extra.logs(0n)),
      () => drain(extra.input("me", pieces())),
      () => workloads.start({ id: ID, process: { args: ["true"] } }),
      () => workloads.list(),
      () => workloads.forget(ID),
    ];
    for (const call of calls) await assert.rejects(call, (error) => hasReason(error, "agent-too-old"));
    assert.deepEqual(asked, ["main: signal 15", "State"]);
  });

  it("of one that has them: each by its id, the main one as ever", async () => {
    const { asked, machine, workloads } = agent(["workloads"]);
    await machine.state();
    const pid = await workloads.start({ id: ID, process: { args: ["sleep", "5"] } });
    const extra = workloads.get(ID);
    await extra.signal(9);
    const taken: bigint[] = [];
    for await (const answer of extra.input("me", pieces())) taken.push(answer.taken);
    await workloads.main.stop(15, 10);
    assert.deepEqual({ pid, taken, code: (await extra.wait())?.code }, { pid: 7, taken: [3n], code: 3 });
    assert.deepEqual(asked, [
      "State",
      `${ID}: start sleep 5`,
      `${ID}: signal 9`,
      `${ID}: input of me`,
      `${ID}: end of input`,
      "main: stop 15 10",
    ]);
  });

  it("are listed with what this kiln knows of", async () => {
    const { workloads } = agent(["workloads"]);
    const list = await workloads.list();
    assert.deepEqual(
      list.map(({ id, kind, pid, nextSequence, exit }) => [id, kind, pid, nextSequence, exit?.code]),
      [
        ["main", "main", 1, 0n, undefined],
        [ID, "extra", 7, 5n, 3],
      ],
    );
  });
});

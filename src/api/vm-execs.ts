// The part of kiln.v1.VmService about programs that were started with `detach`.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Engine, WorkloadEntry, WorkloadState } from "../engine/index.js";
import { type ExecSchema, type ExecStatusSchema, ExecState as WireState } from "../gen/kiln/v1/process_pb.js";
import type { VmService } from "../gen/kiln/v1/vm_pb.js";
import { toTimestamp } from "./convert-vm.js";

type Execs = Pick<
  ServiceImpl<typeof VmService>,
  "listExecs" | "getExec" | "waitExec" | "signalExec" | "removeExec"
>;

export function createVmExecs(engine: Engine): Execs {
  const { workloads } = engine;
  return {
    listExecs({ vm, all }) {
      const entry = engine.find(vm);
      return { execs: workloads.list(entry, all).map((each) => toExec(entry.id, each)) };
    },
    getExec({ vm, exec }) {
      const entry = engine.find(vm);
      return { exec: toExec(entry.id, workloads.find(entry, exec)) };
    },
    async waitExec({ vm, exec }, { signal }) {
      const entry = await workloads.wait(engine.find(vm), exec, signal);
      return { exitCode: entry.status.exitCode, status: toExecStatus(entry) };
    },
    async signalExec({ vm, exec, signal: name }, { signal }) {
      await workloads.signal(engine.find(vm), exec, name, signal);
      return {};
    },
    async removeExec({ vm, exec, force }, { signal }) {
      const { id } = await workloads.remove(engine.find(vm), exec, force, signal);
      return { id };
    },
  };
}

const STATES: Readonly<Record<WorkloadState, WireState>> = {
  starting: WireState.STARTING,
  running: WireState.RUNNING,
  restarting: WireState.RESTARTING,
  exited: WireState.EXITED,
};

function toExec(vm: string, entry: WorkloadEntry): MessageInitShape<typeof ExecSchema> {
  const { args, env, user, workdir, tty, columns, rows, restart, createdAt } = entry.record;
  return {
    id: entry.id,
    vm,
    config: { args, env, user, workdir, tty, columns, rows, restart, detach: true },
    status: toExecStatus(entry),
    createdAt: toTimestamp(createdAt === "" ? undefined : createdAt),
  };
}

function toExecStatus({ status }: WorkloadEntry): MessageInitShape<typeof ExecStatusSchema> {
  const { state, exitCode, reason, message, pid, restartCount, oomKilled } = status;
  return {
    ...{ state: STATES[state], exitCode, reason, message, pid, restartCount, oomKilled },
    startedAt: toTimestamp(status.startedAt),
    finishedAt: toTimestamp(status.finishedAt),
  };
}

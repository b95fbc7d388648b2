// The part of kiln.v1.VmService about programs that were started with `detach`.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Engine, WorkloadState, WorkloadView } from "../engine/index.js";
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
    listExecs: ({ vm, all }) => ({ execs: workloads.list(vm, all).map(toExec) }),
    getExec: ({ vm, exec }) => ({ exec: toExec(workloads.find(vm, exec)) }),
    async waitExec({ vm, exec }, { signal }) {
      const waited = await workloads.wait(vm, exec, signal);
      return { exitCode: waited.status.exitCode, status: toExecStatus(waited) };
    },
    async signalExec({ vm, exec, signal: name }, { signal }) {
      await workloads.signal(vm, exec, name, signal);
      return {};
    },
    async removeExec({ vm, exec, force }, { signal }) {
      const { id } = await workloads.remove(vm, exec, force, signal);
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

function toExec(exec: WorkloadView): MessageInitShape<typeof ExecSchema> {
  const { args, env, user, workdir, tty, columns, rows, restart, createdAt } = exec.record;
  const asked = { args: [...args], env: [...env], user, workdir, tty, columns, rows, restart };
  return {
    id: exec.id,
    vm: exec.vm,
    config: { ...asked, detach: true },
    status: toExecStatus(exec),
    createdAt: toTimestamp(createdAt === "" ? undefined : createdAt),
  };
}

function toExecStatus({ status }: WorkloadView): MessageInitShape<typeof ExecStatusSchema> {
  const { state, exitCode, reason, message, pid, restartCount, oomKilled } = status;
  return {
    ...{ state: STATES[state], exitCode, reason, message, pid, restartCount, oomKilled },
    startedAt: toTimestamp(status.startedAt),
    finishedAt: toTimestamp(status.finishedAt),
  };
}

// kiln.v1.VmService over the engine: converts and passes on, decides nothing.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";
import type { Engine, PullPolicy, VmView, WaitCondition } from "../engine/index.js";
import type { LogsRequest } from "../gen/kiln/v1/process_pb.js";
import { OutputStream } from "../gen/kiln/v1/process_pb.js";
import type { CreateVmRequest, CreateVmResponseSchema, VmService } from "../gen/kiln/v1/vm_pb.js";
import { toProgress } from "./convert-image.js";
import {
  fromConfig,
  fromPort,
  nsFromTimestamp,
  timestampFromNs,
  toStatus,
  toVm,
  toVmWith,
} from "./convert-vm.js";
import { withProgress } from "./progress-stream.js";
import { createVmExecs } from "./vm-execs.js";
import { createVmPaths } from "./vm-paths.js";
import { createVmStreams, STREAMS, toPlace } from "./vm-streams.js";

export function createVmService(engine: Engine): ServiceImpl<typeof VmService> {
  const { vms } = engine;
  const done = (vm: VmView) => ({ vm: toVm(vm) });
  return {
    ...createVmStreams(engine),
    ...createVmPaths(engine),
    ...createVmExecs(engine),
    createVm: (request, context) => createVm(engine, request, context),
    logs: (request, context) => readLogs(engine, request, context),
    startVm: async ({ vm }) => done(await vms.start(vm)),
    stopVm: async ({ vm, timeoutMs, signal }) => done(await vms.stop(vm, { timeoutMs, signal })),
    restartVm: async ({ vm, timeoutMs }) => done(await vms.restart(vm, { timeoutMs })),
    async killVm({ vm, signal }) {
      await vms.signal(vm, signal);
      return {};
    },
    pauseVm: async ({ vm }) => done(await vms.pause(vm)),
    unpauseVm: async ({ vm }) => done(await vms.unpause(vm)),
    async updateVm({ vm, lifetimeMs }) {
      if (lifetimeMs === undefined) throw nothingToChange(vms.find(vm).name);
      return done(await vms.setLifetime(vm, Number(lifetimeMs)));
    },
    removeVm: async ({ vm, force, volumes }) => ({ id: (await vms.remove(vm, force, volumes)).id }),
    listVms({ all, filters, limit }) {
      const found = vms.list(all, filters);
      return { vms: (limit > 0 ? found.slice(-limit) : found).map(toVm) };
    },
    async getVm({ vm }) {
      const denied = await vms.denied(vm);
      return { vm: toVmWith(vms.find(vm), denied) };
    },
    async waitVm({ vm, condition }, { signal }) {
      const waited = await vms.wait(vm, toCondition(condition), signal);
      return { exitCode: waited.status.exitCode, status: toStatus(waited) };
    },
    async addPort({ vm, port }) {
      if (port === undefined) throw missing("port");
      return { port: await vms.addPort(vm, fromPort(port)) };
    },
    async removePort({ vm, port }) {
      if (port === undefined) throw missing("port");
      await vms.removePort(vm, fromPort(port));
      return {};
    },
  };
}

async function* createVm(
  engine: Engine,
  request: CreateVmRequest,
  { signal }: HandlerContext,
): AsyncGenerator<MessageInitShape<typeof CreateVmResponseSchema>> {
  const config = fromConfig(request.config);
  const pull = toPullPolicy(request.pull);
  const { readyOnly } = request;
  const work = withProgress((onProgress) =>
    engine.vms.create({ config, pull }, { signal, onProgress, readyOnly }),
  );
  for await (const item of work) {
    if (item.kind === "progress") yield { message: { case: "progress", value: toProgress(item.update) } };
    else yield { message: { case: "vm", value: toVm(item.value) } };
  }
}

async function* readLogs(engine: Engine, request: LogsRequest, { signal }: HandlerContext) {
  const { vm, follow, tail } = request;
  const after = toPlace(request.after);
  if (request.console || (request.exec === "" && speaksOnConsole(engine.vms.find(vm)))) {
    for await (const { data, next } of engine.vms.console(vm, { tail, follow, after, signal })) {
      yield { stream: OutputStream.STDOUT, data, next };
    }
    return;
  }
  const [since, until] = [nsFromTimestamp(request.since), nsFromTimestamp(request.until)];
  const options = { follow, tail, since, until, after, signal };
  const { exec } = request;
  const chunks = exec === "" ? engine.vms.logs(vm, options) : engine.workloads.logs(vm, exec, options);
  for await (const chunk of chunks) {
    const { timeNs, data, next } = chunk;
    yield { stream: STREAMS[chunk.stream], time: timestampFromNs(timeNs), data, next };
  }
}

/** An init of the image's own has the console as its stdout: all that is said goes there. */
const speaksOnConsole = ({ mode }: VmView) => mode === "system";

function toCondition(word: string): WaitCondition {
  if (word === "") return "exited";
  if (word === "exited" || word === "running" || word === "removed") return word;
  throw new KilnError(Code.InvalidArgument, `"${word}" is no condition to wait for`, {
    reason: "bad-condition",
    hint: "choose one of exited, running, removed",
  });
}

function toPullPolicy(word: string): PullPolicy {
  if (word === "") return "missing";
  if (word === "missing" || word === "always" || word === "never") return word;
  throw new KilnError(Code.InvalidArgument, `"${word}" is no pull policy`, {
    reason: "bad-pull-policy",
    hint: "choose one of missing, always, never",
  });
}

function missing(what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the request holds no ${what}`, { reason: "bad-request" });
}

function nothingToChange(name: string): KilnError {
  return new KilnError(Code.InvalidArgument, `change VM ${name}: the request names nothing to change`, {
    reason: "nothing-to-change",
    hint: "what can be changed is lifetime_ms",
  });
}

// kiln.v1.VmService over the engine: converts and passes on, decides nothing.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";
import type { Engine, PullPolicy, VmEntry, WaitCondition } from "../engine/index.js";
import type { LogsRequest } from "../gen/kiln/v1/process_pb.js";
import { OutputStream } from "../gen/kiln/v1/process_pb.js";
import type { CreateVmRequest, CreateVmResponseSchema, VmService } from "../gen/kiln/v1/vm_pb.js";
import { toProgress } from "./convert-image.js";
import { fromConfig, fromPort, nsFromTimestamp, timestampFromNs, toStatus, toVm } from "./convert-vm.js";
import { withProgress } from "./progress-stream.js";
import { createVmExecs } from "./vm-execs.js";
import { createVmPaths } from "./vm-paths.js";
import { createVmStreams, STREAMS, toPlace } from "./vm-streams.js";

export function createVmService(engine: Engine): ServiceImpl<typeof VmService> {
  const done = (entry: VmEntry) => ({ vm: toVm(entry) });
  return {
    ...createVmStreams(engine),
    ...createVmPaths(engine),
    ...createVmPorts(engine),
    ...createVmExecs(engine),
    createVm: (request, context) => createVm(engine, request, context),
    logs: (request, context) => readLogs(engine, request, context),
    async startVm({ vm }) {
      const entry = engine.find(vm);
      await engine.verbs.start(entry);
      return done(entry);
    },
    async stopVm({ vm, timeoutMs, signal }) {
      const entry = engine.find(vm);
      await engine.verbs.stop(entry, { timeoutMs, signal });
      return done(entry);
    },
    async restartVm({ vm, timeoutMs }) {
      const entry = engine.find(vm);
      await engine.verbs.restart(entry, { timeoutMs });
      return done(entry);
    },
    async killVm({ vm, signal }) {
      await engine.verbs.signal(engine.find(vm), signal);
      return {};
    },
    async pauseVm({ vm }) {
      const entry = engine.find(vm);
      await engine.verbs.pause(entry);
      return done(entry);
    },
    async unpauseVm({ vm }) {
      const entry = engine.find(vm);
      await engine.verbs.unpause(entry);
      return done(entry);
    },
    async updateVm({ vm, lifetimeMs }) {
      const entry = engine.find(vm);
      if (lifetimeMs === undefined) throw nothingToChange(entry.name);
      await engine.verbs.setLifetime(entry, Number(lifetimeMs));
      return done(entry);
    },
    async removeVm({ vm, force }) {
      const entry = engine.find(vm);
      await engine.verbs.remove(entry, force);
      return { id: entry.id };
    },
    listVms({ all, filters, limit }) {
      const entries = engine.list(all, filters);
      return { vms: (limit > 0 ? entries.slice(-limit) : entries).map(toVm) };
    },
    getVm: ({ vm }) => done(engine.find(vm)),
    async waitVm({ vm, condition }, { signal }) {
      const entry = await engine.wait(vm, toCondition(condition), signal);
      return { exitCode: entry.status.exitCode, status: toStatus(entry) };
    },
  };
}

function createVmPorts(engine: Engine): Pick<ServiceImpl<typeof VmService>, "addPort" | "removePort"> {
  return {
    async addPort({ vm, port }) {
      if (port === undefined) throw missing("port");
      return { port: await engine.ports.add(engine.find(vm), fromPort(port)) };
    },
    async removePort({ vm, port }) {
      if (port === undefined) throw missing("port");
      await engine.ports.remove(engine.find(vm), fromPort(port));
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
    engine.create({ config, pull }, { signal, onProgress, readyOnly }),
  );
  for await (const item of work) {
    if (item.kind === "progress") yield { message: { case: "progress", value: toProgress(item.update) } };
    else yield { message: { case: "vm", value: toVm(item.value) } };
  }
}

async function* readLogs(engine: Engine, request: LogsRequest, { signal }: HandlerContext) {
  const { vm, follow, tail } = request;
  const after = toPlace(request.after);
  if (request.console || (request.exec === "" && engine.speaksOnConsole(vm))) {
    for await (const { data, next } of engine.console(vm, { tail, follow, after, signal })) {
      yield { stream: OutputStream.STDOUT, data, next };
    }
    return;
  }
  const [since, until] = [nsFromTimestamp(request.since), nsFromTimestamp(request.until)];
  const options = { follow, tail, since, until, after, signal };
  const { exec } = request;
  const chunks =
    exec === "" ? engine.logs(vm, options) : engine.workloads.logs(engine.find(vm), exec, options);
  for await (const chunk of chunks) {
    const { timeNs, data, next } = chunk;
    yield { stream: STREAMS[chunk.stream], time: timestampFromNs(timeNs), data, next };
  }
}

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

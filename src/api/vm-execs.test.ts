import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { collect, FakeApi, failsWith } from "../../test/fixtures/fake-api.js";
import type { FakeWorkload } from "../../test/fixtures/fake-workloads.js";
import { type ExecConfig, ExecRequestSchema, ExecState } from "../gen/kiln/v1/process_pb.js";
import { ErrorInfoSchema } from "../gen/kiln/v1/types_pb.js";

let api: FakeApi;
beforeEach(async () => {
  api = await FakeApi.open();
  const { id } = await api.createVm({ name: "urn" });
  await api.vms.startVm({ vm: id });
});
afterEach(() => api.close());

async function execId(config: Partial<Omit<ExecConfig, "$typeName" | "$unknown">> = {}): Promise<string> {
  async function* requests() {
    const value = { vm: "urn", config: { args: ["job", "-v"], detach: true, ...config } };
    yield create(ExecRequestSchema, { message: { case: "start", value } });
  }
  const [first] = await collect(api.vms.exec(requests()));
  assert.equal(first?.message.case, "started");
  return first.message.value.execId;
}

function program(): FakeWorkload {
  const found = api.world.vmms.at(-1)?.guest.workloads.started.at(-1);
  assert.ok(found !== undefined);
  return found;
}

describe("VmService: execs", () => {
  it("says which one it has started, lists it, and tells its output and its end", async () => {
    const exec = await execId();
    assert.match(exec, /^[0-9a-f]{32}$/);
    const { execs } = await api.vms.listExecs({ vm: "urn" });
    assert.deepEqual(
      execs.map(({ id, config, status }) => [id, config?.args, config?.detach, status?.state, status?.pid]),
      [[exec, ["job", "-v"], true, ExecState.RUNNING, 100]],
    );
    assert.ok((execs[0]?.status?.startedAt?.seconds ?? 0n) > 1_700_000_000n);
    const logs = collect(api.vms.logs({ vm: "urn", exec: exec.slice(0, 12), follow: true }));
    const waited = api.vms.waitExec({ vm: "urn", exec });
    program().print("done");
    program().exit(4);
    const [chunk] = await logs;
    assert.equal(Buffer.from(chunk?.data ?? []).toString(), "done");
    assert.deepEqual([chunk?.next?.boot, chunk?.next?.sequence], [1, 4n]);
    const { exitCode, status } = await waited;
    assert.deepEqual([exitCode, status?.state, status?.reason], [4, ExecState.EXITED, "program-exited"]);
    assert.deepEqual((await api.vms.listExecs({ vm: "urn" })).execs, []);
    assert.equal((await api.vms.listExecs({ vm: "urn", all: true })).execs.length, 1);
    const after = { boot: 1, sequence: 2n };
    const [rest] = await collect(api.vms.logs({ vm: "urn", exec, after }));
    assert.equal(Buffer.from(rest?.data ?? []).toString(), "ne");
  });

  it("passes a policy, a signal and a removal on", async () => {
    const exec = await execId({
      restart: { $typeName: "kiln.v1.RestartPolicy", name: "always", maximumRetryCount: 0 },
    });
    const { exec: shown } = await api.vms.getExec({ vm: "urn", exec });
    assert.equal(shown?.config?.restart?.name, "always");
    await api.vms.signalExec({ vm: "urn", exec, signal: "USR1" });
    assert.deepEqual(program().signals, [10]);
    const runs = api.vms.removeExec({ vm: "urn", exec });
    await assert.rejects(runs, failsWith(Code.FailedPrecondition, "exec-running"));
    assert.equal((await api.vms.removeExec({ vm: "urn", exec, force: true })).id, exec);
    const gone = api.vms.getExec({ vm: "urn", exec });
    await assert.rejects(gone, failsWith(Code.NotFound, "exec-not-found"));
  });

  it("refuses what can't be", async () => {
    await assert.rejects(
      execId({ restart: { $typeName: "kiln.v1.RestartPolicy", name: "often", maximumRetryCount: 0 } }),
      failsWith(Code.InvalidArgument, "bad-restart-policy"),
    );
    const counted = {
      $typeName: "kiln.v1.RestartPolicy" as const,
      name: "on-failure:2",
      maximumRetryCount: 0,
    };
    await assert.rejects(execId({ restart: counted }), (error) => {
      assert.ok(error instanceof ConnectError);
      const { hint = "" } = error.findDetails(ErrorInfoSchema)[0] ?? {};
      assert.match(
        hint,
        /^choose one of no, on-failure, always; the number of retries is a field of its own$/,
      );
      return true;
    });
    await assert.rejects(execId({ args: [] }), failsWith(Code.InvalidArgument, "no-command"));
    const none = collect(api.vms.logs({ vm: "urn", exec: "ff" }));
    await assert.rejects(none, failsWith(Code.NotFound, "exec-not-found"));
  });
});

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { CriCase } from "../../test/fixtures/cri-case.js";
import { collect, failsWith } from "../../test/fixtures/fake-api.js";
import { CgroupDriver, ImageService, RuntimeService } from "../gen/runtime/v1/api_pb.js";

let cri: CriCase;
beforeEach(async () => {
  cri = await CriCase.open();
});
afterEach(() => cri.close());

describe("the runtime", () => {
  it("names itself", async () => {
    const version = await cri.runtime.version({ version: "0.1.0" });
    const { runtimeName, runtimeVersion, runtimeApiVersion } = version;
    assert.deepEqual([runtimeName, runtimeVersion, runtimeApiVersion], ["kiln", "1.2.3", "v1"]);
    assert.equal(version.version, "0.1.0");
  });

  it("is not ready for pods, and says why", async () => {
    const { status, info } = await cri.runtime.status({});
    const told = status?.conditions.map((condition) => [condition.type, condition.status, condition.reason]);
    assert.deepEqual(told, [
      ["RuntimeReady", false, "PodsUnimplemented"],
      ["NetworkReady", false, "PodsUnimplemented"],
    ]);
    assert.match(status?.conditions[0]?.message ?? "", /can't run pods/);
    assert.deepEqual(info, {});
    const { info: more } = await cri.runtime.status({ verbose: true });
    assert.deepEqual(JSON.parse(more.config ?? ""), { rootDir: "/data", stateDir: "/run" });
  });

  it("wants pods' cgroups as paths, and takes the kubelet's configuration", async () => {
    const { linux } = await cri.runtime.runtimeConfig({});
    assert.equal(linux?.cgroupDriver, CgroupDriver.CGROUPFS);
    await cri.runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr: "10.0.0.0/24" } } });
  });
});

describe("pods, of which there are none", () => {
  it("are listed as such", async () => {
    assert.deepEqual((await cri.runtime.listPodSandbox({})).items, []);
    assert.deepEqual((await cri.runtime.listContainers({})).containers, []);
    assert.deepEqual((await cri.runtime.listContainerStats({})).stats, []);
    assert.deepEqual((await cri.runtime.listPodSandboxStats({})).stats, []);
    assert.deepEqual(await collect(cri.runtime.streamContainers({})), []);
    assert.deepEqual(await collect(cri.runtime.streamPodSandboxes({})), []);
  });

  it("are gone already", async () => {
    await cri.runtime.stopPodSandbox({ podSandboxId: "x" });
    await cri.runtime.removePodSandbox({ podSandboxId: "x" });
    await cri.runtime.stopContainer({ containerId: "x" });
    await cri.runtime.removeContainer({ containerId: "x" });
  });

  it("are not found by what asks for one", async () => {
    const { runtime } = cri;
    const noPod = failsWith(Code.NotFound, "pod-not-found");
    const noContainer = failsWith(Code.NotFound, "container-not-found");
    await assert.rejects(runtime.podSandboxStatus({ podSandboxId: "x" }), noPod);
    await assert.rejects(runtime.createContainer({ podSandboxId: "x" }), noPod);
    await assert.rejects(runtime.containerStatus({ containerId: "x" }), noContainer);
    await assert.rejects(runtime.execSync({ containerId: "x", cmd: ["true"] }), noContainer);
  });

  it("are not made, with a reason", async () => {
    const making = cri.runtime.runPodSandbox({ config: { metadata: { name: "a" } } });
    await assert.rejects(making, failsWith(Code.Unimplemented, "cri-unimplemented"));
    await assert.rejects(making, /kiln can't run pods yet \(it serves images/);
    const following = collect(cri.runtime.getContainerEvents({}));
    await assert.rejects(following, failsWith(Code.Unimplemented, "cri-unimplemented"));
    await assert.rejects(following, /events yet \(the kubelet asks for lists/);
  });
});

it("every call is answered, or refused with a reason", async () => {
  for (const [service, client] of [
    [RuntimeService, cri.runtime],
    [ImageService, cri.images],
  ] as const) {
    for (const method of Object.values(service.method)) {
      const call = (client as unknown as Record<string, (request: object) => unknown>)[method.localName];
      const answer =
        method.methodKind === "unary" ? call?.({}) : collect(call?.({}) as AsyncIterable<object>);
      const error: unknown = await Promise.resolve(answer).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      const status = error === undefined ? undefined : ConnectError.from(error);
      assert.notEqual(status?.code, Code.Internal, `${method.name}: ${status?.message}`);
      assert.ok(status === undefined || status.details.length === 1, `${method.name} gives no reason`);
    }
  }
});

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type Client, Code } from "@connectrpc/connect";
import { collect, FakeApi, failsWith } from "../../test/fixtures/fake-api.js";
import { deferred } from "../base/runtime.js";
import type { ImageService } from "../gen/kiln/v1/image_pb.js";
import type { KernelService } from "../gen/kiln/v1/kernel_pb.js";
import type { SystemService } from "../gen/kiln/v1/system_pb.js";

let api: FakeApi;
let images: Client<typeof ImageService>;
let kernels: Client<typeof KernelService>;
let system: Client<typeof SystemService>;
beforeEach(async () => {
  api = await FakeApi.open();
  ({ images, kernels, system } = api);
});
afterEach(() => api.close());

describe("every call", () => {
  it("waits until the state has been read", async () => {
    const gate = deferred<void>();
    api.ready = gate.promise;
    let answered = false;
    const call = api.vms.listVms({}).then(() => {
      answered = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(answered, false);
    gate.resolve();
    await call;
  });
});

describe("ImageService", () => {
  it("lists, shows and pulls", async () => {
    assert.equal((await images.listImages({})).images[0]?.platform, "linux/amd64");
    const shown = await images.getImage({ image: "app" });
    assert.deepEqual([shown.image?.config?.cmd, shown.configJson], [["/app"], "{}"]);
    const messages = await collect(images.pullImage({ reference: "app", quiet: true }));
    assert.deepEqual(
      messages.map(({ message }) => message.case),
      ["image"],
    );
  });

  it("says what is not there", async () => {
    await assert.rejects(images.getImage({ image: "other" }), failsWith(Code.NotFound, "image-not-found"));
    await assert.rejects(
      collect(images.pullImage({ reference: "other" })),
      failsWith(Code.NotFound, "image-not-found"),
    );
  });
});

describe("KernelService and SystemService", () => {
  it("show kernels, the version, the host and settings with their origin", async () => {
    assert.equal((await kernels.listKernels({})).kernels[0]?.isDefault, true);
    assert.equal((await system.version({})).apiVersion, "kiln.v1");
    const info = await system.info({});
    assert.deepEqual([info.cpus, info.vmms[0]?.chosen, info.kernel?.name], [4, true, "debian"]);
    assert.equal(info.settings[0]?.origin, "flag");
    assert.equal(info.pid, process.pid);
    assert.ok(info.warnings.includes("mind the gap"));
  });

  it("count and prune", async () => {
    const { id } = await api.createVm();
    const usage = await system.diskUsage({});
    assert.equal(usage.rows.find(({ type }) => type === "vms")?.total, 1);
    assert.deepEqual((await system.prune({})).vms, [id]);
    await assert.rejects(system.prune({ filters: ["x=y"] }), failsWith(Code.InvalidArgument, "bad-filter"));
  });

  it("refuse to remove a kernel that a VM boots", async () => {
    await api.createVm();
    await assert.rejects(
      kernels.removeKernel({ kernel: "debian" }),
      failsWith(Code.FailedPrecondition, "kernel-in-use"),
    );
  });
});

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { FakeApi, failsWith } from "../../test/fixtures/fake-api.js";

const GIB = 1024n ** 3n;
let api: FakeApi;
beforeEach(async () => {
  api = await FakeApi.open();
});
afterEach(() => api.close());

describe("VolumeService", () => {
  it("makes, shows, grows and removes", async () => {
    const { volume: made } = await api.volumes.createVolume({
      name: "data",
      sizeBytes: GIB,
      labels: { a: "b" },
    });
    assert.deepEqual(
      [made?.name, made?.sizeBytes, made?.filesystemBytes, made?.labels],
      ["data", GIB, GIB, { a: "b" }],
    );
    assert.deepEqual((await api.volumes.createVolume({ name: "data" })).volume, made);
    const { volume: grown } = await api.volumes.growVolume({ volume: "data", sizeBytes: 2n * GIB });
    assert.deepEqual([grown?.sizeBytes, grown?.filesystemBytes], [2n * GIB, GIB]);
    const { volumes } = await api.volumes.listVolumes({ filters: ["label=a"] });
    assert.deepEqual(volumes, [grown]);
    assert.deepEqual((await api.volumes.removeVolume({ volume: "data" })).id, made?.id);
    await assert.rejects(
      api.volumes.getVolume({ volume: "data" }),
      failsWith(Code.NotFound, "volume-not-found"),
    );
  });

  it("prunes what has no name, alone and with the rest", async () => {
    const id = (await api.volumes.createVolume({})).volume?.id ?? "";
    await api.volumes.createVolume({ name: "data" });
    assert.deepEqual((await api.system.prune({})).volumes, []);
    assert.deepEqual((await api.system.prune({ volumes: true })).volumes, [id]);
    assert.deepEqual((await api.volumes.pruneVolumes({})).volumes, []);
    const rows = (await api.system.diskUsage({})).rows.filter(({ type }) => type === "volumes");
    assert.deepEqual([rows.length, rows[0]?.total, rows[0]?.active], [1, 1, 0]);
    assert.deepEqual((await api.system.diskUsage({})).items, []);
    assert.deepEqual((await api.volumes.pruneVolumes({ all: true })).volumes, ["data"]);
  });

  it("says what is wrong with what was asked", async () => {
    const { createVolume, growVolume, listVolumes } = api.volumes;
    await assert.rejects(createVolume({ name: "a/b" }), failsWith(Code.InvalidArgument, "bad-name"));
    await assert.rejects(createVolume({ sizeBytes: 5n }), failsWith(Code.InvalidArgument, "bad-volume-size"));
    await assert.rejects(
      createVolume({ sizeBytes: 2n ** 64n - 1n }),
      failsWith(Code.InvalidArgument, "bad-volume-size"),
    );
    await createVolume({ name: "data", sizeBytes: 2n * GIB });
    await assert.rejects(
      createVolume({ name: "data", sizeBytes: GIB }),
      failsWith(Code.AlreadyExists, "volume-exists"),
    );
    await assert.rejects(
      growVolume({ volume: "data", sizeBytes: GIB }),
      failsWith(Code.InvalidArgument, "volume-shrink"),
    );
    await assert.rejects(listVolumes({ filters: ["a=b"] }), failsWith(Code.InvalidArgument, "bad-filter"));
  });
});

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { hasReason, Kiln } from "./index.js";

const GIB = 1024 ** 3;
let kilnd: FakeKilnd;
let kiln: Kiln;
beforeEach(async () => {
  kilnd = await FakeKilnd.start();
  kiln = await Kiln.connect({ host: kilnd.host });
});
afterEach(async () => {
  await kiln.close();
  await kilnd.close();
});

describe("kiln.volumes", () => {
  it("makes, lists, shows, grows and removes", async () => {
    const made = await kiln.volumes.create("data", { size: "10GiB", labels: { a: "b" } });
    assert.deepEqual([made.name, made.sizeBytes, made.labels], ["data", 10 * GIB, { a: "b" }]);
    assert.deepEqual(await kiln.volumes.get("data"), made);
    assert.deepEqual(await kiln.volumes.list({ filter: ["name=d"] }), [made]);
    const grown = await kiln.volumes.grow("data", 20 * GIB);
    assert.deepEqual([grown.sizeBytes, grown.filesystemBytes], [20 * GIB, 10 * GIB]);
    await kiln.volumes.remove("data");
    await assert.rejects(kiln.volumes.get("data"), (error) => hasReason(error, "volume-not-found"));
  });

  it("prunes", async () => {
    assert.deepEqual(await kiln.volumes.prune({ all: true, filter: ["until=24h"] }), {
      volumes: ["old"],
      reclaimedBytes: 5_000_000,
    });
    assert.deepEqual(kilnd.calls, ["PruneVolumes true until=24h"]);
    assert.deepEqual((await kiln.prune({ volumes: true })).volumes, ["old"]);
    assert.deepEqual((await kiln.prune()).volumes, []);
  });

  it("refuses options that it does not know", async () => {
    // @ts-expect-error a misspelt one
    const asked = kiln.volumes.create("data", { sise: "1g" });
    await assert.rejects(asked, (error) => hasReason(error, "unknown-option"));
    const bad = kiln.volumes.create("data", { size: -1 });
    await assert.rejects(bad, (error) => hasReason(error, "bad-size"));
    const none = kiln.volumes.create("data", { size: 0 });
    await assert.rejects(none, (error) => hasReason(error, "bad-size"));
    await assert.rejects(kiln.create("x", { disk: "0" }), (error) => hasReason(error, "bad-size"));
    assert.deepEqual(kilnd.calls, []);
  });
});

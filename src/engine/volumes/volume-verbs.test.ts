import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { GIB, specOf, volumeCase } from "../../../test/fixtures/volume-case.js";
import { hasReason } from "../../base/errors.js";
import { volumeRef } from "./entry.js";
import { VolumeVerbs } from "./volume-verbs.js";
import type { Volumes } from "./volumes.js";

const on = volumeCase();
const WEB = { id: "a".repeat(64), name: "web" };
/** Two hours after all that is made in a case. */
const NOW = Date.parse("2026-11-30T14:00:00.000Z");

function verbsOf(volumes: Volumes): VolumeVerbs {
  const vms = { get: (id: string) => (id === WEB.id ? WEB : undefined) };
  return new VolumeVerbs({
    volumes,
    references: on.references,
    vms,
    now: () => NOW,
    growMounted: async () => undefined,
  });
}

/** "data" that VM web has, "logs" with a label, one without a name. */
async function threeVolumes() {
  const volumes = await on.open();
  const verbs = verbsOf(volumes);
  const data = await verbs.create(specOf("data"));
  const logs = await verbs.create(specOf("logs", { labels: { kind: "log" } }));
  const anonymous = await verbs.create(specOf(""));
  on.references.set({ noun: "vm", id: WEB.id }, [{ to: volumeRef(data.id), how: "needs" }]);
  return { volumes, verbs, data, logs, anonymous };
}

const names = (all: readonly { readonly name: string }[]) => all.map(({ name }) => name).sort();

describe("volumes", () => {
  it("are shown with who has them", async () => {
    const { volumes, verbs, data } = await threeVolumes();
    await volumes.use(data.id, { vm: WEB.id, name: "web", readOnly: false });
    const found = await verbs.find("data");
    assert.deepEqual([found.vms, found.writer, found.usedBytes], [["web"], "web", 0]);
    assert.deepEqual([found.sizeBytes, found.filesystemBytes], [64 * GIB, 64 * GIB]);
    assert.deepEqual([(await verbs.find("logs")).vms, (await verbs.find("logs")).writer], [[], ""]);
    const grown = await verbs.grow("data", 65 * GIB);
    assert.deepEqual([grown.sizeBytes, grown.filesystemBytes], [65 * GIB, 64 * GIB]);
  });

  it("are listed by filters", async () => {
    const { verbs, logs, anonymous } = await threeVolumes();
    const listed = async (...filters: string[]) => names(await verbs.list(filters));
    assert.deepEqual(await listed(), [anonymous.name, "data", "logs"].sort());
    assert.deepEqual(await listed("dangling=false"), ["data"]);
    assert.deepEqual(await listed("dangling=1", "label=kind"), ["logs"]);
    assert.deepEqual(await listed("label=kind=x"), []);
    assert.deepEqual(await listed(`id=${logs.id.slice(0, 12)}`), ["logs"]);
    assert.deepEqual(await listed("name=og", "name=dat"), ["data", "logs"]);
    for (const filter of ["driver=local", "dangling=perhaps", "data"]) {
      await assert.rejects(verbs.list([filter]), (error) => hasReason(error, "bad-filter"));
    }
  });

  it("are pruned where nobody has them: those without a name, or all", async () => {
    const { verbs, anonymous } = await threeVolumes();
    assert.deepEqual((await verbs.prune(false, ["until=3h"])).names, []);
    assert.deepEqual((await verbs.prune(false)).names, [anonymous.id]);
    assert.deepEqual((await verbs.prune(true, ["label=other"])).names, []);
    assert.deepEqual((await verbs.prune(true, ["until=1h"])).names, ["logs"]);
    assert.deepEqual(names(await verbs.list()), ["data"]);
    await assert.rejects(verbs.prune(true, ["dangling=true"]), (error) => hasReason(error, "bad-filter"));
    await assert.rejects(verbs.remove("data"), (error) => hasReason(error, "volume-in-use"));
  });

  it("whose record is lost are never pruned, and go when they are named", async () => {
    const { logs } = await threeVolumes();
    for (const copy of ["", ".bak"]) await rm(on.path(logs.id, `volume.json${copy}`));
    const verbs = verbsOf(await on.open());
    const found = await verbs.find(logs.id.slice(0, 12));
    assert.deepEqual([found.name, found.sizeBytes, found.anonymous], [logs.id, 64 * GIB, false]);
    assert.ok(!(await verbs.prune(true)).names.includes(logs.id));
    await assert.rejects(verbs.grow(logs.id, 65 * GIB), (error) => hasReason(error, "record-damaged"));
    assert.equal(await verbs.remove(logs.id), logs.id);
  });

  it("of a later release are read as far as they go, and written back whole", async () => {
    const { logs } = await threeVolumes();
    const record = { version: 1, id: logs.id, name: "logs", createdAt: logs.createdAt, sizeBytes: GIB };
    const later = { ...record, quota: { bytes: 5 }, labels: "none" };
    for (const copy of ["", ".bak"])
      await writeFile(on.path(logs.id, `volume.json${copy}`), JSON.stringify(later));
    const volumes = await on.open();
    assert.match(volumes.find("logs").recordFlaw ?? "", /labels/);
    assert.deepEqual(Reflect.get(volumes.find("logs").record, "quota"), { bytes: 5 });
    assert.deepEqual(volumes.find("logs").record.labels, {});
  });
});

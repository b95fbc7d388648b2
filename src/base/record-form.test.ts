// What becomes of an object whose files were damaged, or are another release's.

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { damageFile, OTHER_RELEASE, UNREADABLE } from "../../test/fixtures/damage.js";
import { STATUS, THING, type Thing, type ThingStatus } from "../../test/fixtures/things.js";
import { silentLogger } from "./log.js";
import { ObjectStore } from "./object-store.js";
import type { Form } from "./record-form.js";
import { parseVersioned } from "./versioned.js";

const A = "a".repeat(8);

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-form-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function makeStore(more: Partial<Form<Thing>> = {}): Promise<ObjectStore<Thing, ThingStatus>> {
  const store = new ObjectStore<Thing, ThingStatus>({
    ...{ noun: "thing", root, id: /^[0-9a-f]{8}$/, log: silentLogger },
    record: { file: "thing.json", kind: THING, ...more },
    status: { file: "status.json", kind: STATUS },
  });
  await store.load();
  const record = { version: 2, id: A, color: "red", parts: [{ size: 1 }] };
  const status = { version: 1, state: "running" };
  await store.create(A, { record, status }, (directory) => writeFile(join(directory, "data"), "mine"));
  return store;
}

async function loadOne(store: ObjectStore<Thing, ThingStatus>) {
  const [loaded, ...others] = await store.load();
  assert.deepEqual(others, []);
  assert.ok(loaded?.status, "it is not left out");
  return { record: loaded.record, status: loaded.status };
}

const text = (store: ObjectStore<Thing, ThingStatus>, name: string) => readFile(store.path(A, name), "utf8");
const writeBoth = async (store: ObjectStore<Thing, ThingStatus>, json: object) => {
  for (const name of ["thing.json", "thing.json.bak"]) {
    await writeFile(store.path(A, name), JSON.stringify(json));
  }
};

for (const file of ["thing.json", "status.json"] as const) {
  describe(`damage of ${file}`, () => {
    for (const damage of UNREADABLE) {
      it(`${damage.what}: the copy serves, and mends it`, async () => {
        const store = await makeStore();
        const before = await text(store, file);
        await damageFile(store.path(A, file), damage);
        const { record, status } = await loadOne(store);
        assert.deepEqual([record.value?.color, status.value?.state], ["red", "running"]);
        const reading = file === "thing.json" ? record : status;
        assert.deepEqual([reading.whole, reading.fromCopy], [true, true]);
        assert.equal(await text(store, file), before);
        await damageFile(store.path(A, `${file}.bak`), damage);
        assert.equal((await loadOne(store)).record.whole, true);
        assert.equal(await text(store, `${file}.bak`), before);
      });

      it(`${damage.what}, with its copy: it is shown, and stays where it is`, async () => {
        const store = await makeStore();
        await damageFile(store.path(A, file), damage, true);
        const { record, status } = await loadOne(store);
        const [lost, other] = file === "thing.json" ? [record, status] : [status, record];
        assert.deepEqual([lost.value, lost.whole, other.whole], [undefined, false, true]);
        assert.equal(lost.damage === undefined, damage.what === "missing", lost.damage);
        assert.equal(await text(store, "data"), "mine");
        assert.deepEqual(await readdir(root), [A]);
      });
    }
  });
}

describe("another release's record", () => {
  for (const damage of OTHER_RELEASE) {
    it(`${damage.what}: is read, and what is unknown in it is written back`, async () => {
      const store = await makeStore();
      // Form 1 had another word for it: what has no version is of that form.
      const old = JSON.stringify({ version: 2, id: A, color: "red", colour: "red", parts: [{ size: 1 }] });
      await writeBoth(store, JSON.parse(String(damage.change(old))));
      const { record } = await loadOne(store);
      assert.deepEqual([record.whole, record.value?.color], [true, "red"]);
      assert.ok(record.value);
      await store.saveRecord(A, { ...record.value, color: "blue" });
      const written = JSON.parse(await text(store, "thing.json"));
      const kept = damage.what === "no version" ? [2, undefined] : [record.value.version, "kept"];
      assert.deepEqual([written.version, written.ofTomorrow, written.color], [...kept, "blue"]);
    });
  }

  it("of a newer form is left as it is, with its number", async () => {
    const store = await makeStore();
    const newer = { version: 7, id: A, color: "red", parts: "many" };
    await writeBoth(store, newer);
    const { record } = await loadOne(store);
    assert.deepEqual([record.newer, record.value?.version, record.value?.parts], [true, 7, []]);
    assert.equal(record.problems.length, 1);
    assert.deepEqual(JSON.parse(await text(store, "thing.json")), newer);
  });

  it("of an older form is brought up to date, in both places", async () => {
    const store = await makeStore();
    await writeBoth(store, { version: 1, id: A, colour: "red", more: 1 });
    const { record } = await loadOne(store);
    const now = { version: 2, id: A, color: "red", more: 1, parts: [] };
    assert.deepEqual([record.value, record.newer], [now, false]);
    for (const name of ["thing.json", "thing.json.bak"]) {
      assert.deepEqual(JSON.parse(await text(store, name)), now);
    }
  });

  it("of an older form that is not understood as a whole is not written over", async () => {
    const store = await makeStore();
    const old = { version: 1, id: A, colour: "red", parts: 5 };
    await writeBoth(store, old);
    assert.equal((await loadOne(store)).record.problems.length, 1);
    assert.deepEqual(JSON.parse(await text(store, "thing.json")), old);
  });
});

describe("a record that says too little", () => {
  const isWhole: Form<Thing>["isWhole"] = ({ value }) => value.parts.length > 0;

  it("gives way to a copy that says all", async () => {
    const store = await makeStore({ isWhole });
    await writeFile(store.path(A, "thing.json"), JSON.stringify({ version: 2, color: "blue" }));
    const { record } = await loadOne(store);
    assert.deepEqual([record.value?.color, record.whole, record.fromCopy], ["red", true, true]);
  });

  it("is read as far as it goes where both do, and nothing is written", async () => {
    const store = await makeStore({ isWhole });
    await writeBoth(store, { version: 1, colour: "blue" });
    const { record } = await loadOne(store);
    assert.deepEqual([record.value?.color, record.whole], ["blue", false]);
    assert.match(record.damage ?? "", /thing\.json/);
    assert.deepEqual(JSON.parse(await text(store, "thing.json")), { version: 1, colour: "blue" });
  });

  it("is read of a copy too, and the damaged file stays where it is", async () => {
    const store = await makeStore({ isWhole });
    await writeBoth(store, { version: 2, color: "blue" });
    await writeFile(store.path(A, "thing.json"), "{");
    const { record } = await loadOne(store);
    assert.deepEqual([record.value?.color, record.whole, record.fromCopy], ["blue", false, true]);
    assert.equal(await text(store, "thing.json"), "{");
  });

  it("or is another object's, is none of this one's", async () => {
    const store = await makeStore({
      parse: (json, id) => {
        const parsed = parseVersioned(THING, json);
        return parsed?.value.id === id ? parsed : undefined;
      },
    });
    await writeBoth(store, { version: 2, id: "b".repeat(8), color: "blue" });
    const { record } = await loadOne(store);
    assert.equal(record.value, undefined);
    assert.match(record.damage ?? "", /can't be understood/);
  });
});

describe("a file in the place of an object", () => {
  it("is shown with its files lost, and can be removed", async () => {
    const store = await makeStore();
    await rm(store.path(A), { recursive: true });
    await writeFile(store.path(A), "what?");
    const { record, status } = await loadOne(store);
    assert.deepEqual([record.value, status.value], [undefined, undefined]);
    await store.remove(A);
    assert.deepEqual(await readdir(root), []);
  });
});

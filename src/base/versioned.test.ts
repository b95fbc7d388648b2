import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { keepUnknown, openObject, parseVersioned, type RecordKind } from "./versioned.js";

const schema = openObject({
  version: v.number(),
  id: v.string(),
  disk: v.optional(openObject({ bytes: v.number(), kind: v.optional(v.string(), "ext4") })),
  ports: v.optional(v.array(openObject({ port: v.number() })), []),
});
type Thing = v.InferOutput<typeof schema>;

const KIND: RecordKind<Thing> = {
  version: 3,
  schema,
  migrations: {
    1: ({ name, ...rest }) => ({ ...rest, id: name }),
    2: ({ diskBytes, ...rest }) => ({ ...rest, disk: { bytes: diskBytes } }),
  },
};

describe("parseVersioned", () => {
  it("brings an older form up step by step, and keeps what neither form knows", () => {
    const parsed = parseVersioned(KIND, { version: 1, name: "a", diskBytes: 5, more: { deep: 1 } });
    assert.deepEqual(parsed?.value, {
      ...{ version: 3, id: "a", disk: { bytes: 5, kind: "ext4" }, ports: [] },
      more: { deep: 1 },
    });
    assert.deepEqual([parsed?.migrated, parsed?.newer, parsed?.problems], [true, false, []]);
  });

  it("takes a file without a version for the first form", () => {
    assert.equal(parseVersioned(KIND, { name: "a", diskBytes: 1 })?.value.id, "a");
  });

  it("reads a newer form as far as it can be and leaves it its number", () => {
    const parsed = parseVersioned(KIND, { version: 9, id: "a", disk: "elsewhere" });
    assert.deepEqual([parsed?.newer, parsed?.migrated, parsed?.value.version], [true, false, 9]);
    assert.equal(parsed?.value.disk, undefined);
    assert.equal(parsed?.problems.length, 1);
  });

  it("keeps unknown fields inside arrays and objects", () => {
    const json = {
      version: 3,
      id: "a",
      disk: { bytes: 1, kind: "x", cache: true },
      ports: [{ port: 1, via: "y" }],
    };
    assert.deepEqual(parseVersioned(KIND, json)?.value, json);
  });

  it("drops the one field that it can't understand, with the object that can't do without it", () => {
    const parsed = parseVersioned(KIND, {
      ...{ version: 3, id: "a", disk: { bytes: "many", kind: "x" } },
      ports: [{ port: 1 }, { port: "two" }, { port: 3 }],
    });
    assert.equal(parsed?.value.disk, undefined);
    assert.deepEqual(parsed?.value.ports, [{ port: 1 }, { port: 3 }]);
    assert.match(parsed?.problems.join("\n") ?? "", /disk\.bytes[\s\S]*ports\.1\.port/);
  });

  it("gives up only where nothing is left", () => {
    for (const json of [null, 1, "x", [], [{}], {}, { version: 3, id: 5 }]) {
      assert.equal(parseVersioned(KIND, json), undefined, JSON.stringify(json));
    }
  });

  it("never changes what it was given", () => {
    const json = { version: 1, name: "a", diskBytes: "x", ports: [{}] };
    const before = structuredClone(json);
    parseVersioned(KIND, json);
    assert.deepEqual(json, before);
  });
});

describe("keepUnknown", () => {
  const before = parseVersioned(KIND, {
    ...{ version: 4, id: "a", disk: { bytes: 1, kind: "x", cache: { deep: true } } },
    ...{ ports: [{ port: 1, via: "y" }], more: 1 },
  })?.value;

  it("gives a record made anew what is not known of the one before, at every level of objects", () => {
    const next = { version: 3, id: "b", disk: { bytes: 2, kind: "z" }, ports: [{ port: 1 }] };
    assert.deepEqual(keepUnknown(KIND, before, next), {
      ...{ version: 4, id: "b", disk: { bytes: 2, kind: "z", cache: { deep: true } } },
      ...{ ports: [{ port: 1 }], more: 1 },
    });
  });

  it("brings back nothing that is known, and nothing where there was none before", () => {
    const next = { version: 3, id: "b", disk: undefined, ports: [] };
    assert.deepEqual(keepUnknown(KIND, undefined, next), next);
    assert.equal(keepUnknown(KIND, before, next).disk, undefined);
  });
});

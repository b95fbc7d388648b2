import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason, KilnError } from "../../base/errors.js";
import { Registry } from "./registry.js";

interface Thing {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
}

const thing = (id: string, name: string, createdAt = "1"): Thing => ({ id: id.repeat(16), name, createdAt });
const things = () =>
  new Registry<Thing>({
    noun: "VM",
    order: ({ createdAt }) => createdAt,
    removal: (name) => `\`kiln rm ${name}\``,
  });
const isTaken = (registry: Registry<Thing>, name: string) => {
  try {
    registry.takeName(name, "other").release();
    return false;
  } catch (error) {
    assert.ok(hasReason(error, "name-in-use"));
    return true;
  }
};

describe("a registry", () => {
  it("lists in the order of creation, and finds by id, name and prefix", () => {
    const registry = things();
    const [a, b, c] = [thing("a", "web", "2"), thing("b", "db", "1"), thing("c", "job", "2")];
    for (const each of [c, a, b]) registry.add(each);
    assert.deepEqual(registry.list(), [b, a, c]);
    assert.deepEqual([registry.find("web"), registry.find("bb"), registry.get(c.id)], [a, b, c]);
    assert.throws(
      () => registry.find("nobody"),
      (error) => hasReason(error, "vm-not-found"),
    );
    registry.remove(a);
    assert.equal(registry.get(a.id), undefined);
  });

  it("gives a name to one, from before it is made until it is removed", () => {
    const registry = things();
    const entry = thing("a", "web");
    const taken = registry.takeName("web", entry.id);
    assert.throws(
      () => registry.takeName("web", "x"),
      (error) => {
        assert.ok(error instanceof KilnError);
        assert.equal(error.message, `the name "web" is used by VM ${entry.id.slice(0, 12)}`);
        assert.deepEqual(error.details, { vm: entry.id });
        return (error.hint ?? "").includes("`kiln rm web`");
      },
    );
    registry.add(entry);
    taken.release();
    assert.ok(isTaken(registry, "web"), "its object has it");
    registry.remove(entry);
    assert.equal(isTaken(registry, "web"), false);
  });

  it("takes a name back of what was never made, and makes names up", () => {
    const registry = things();
    const { name, release } = registry.takeName("", "a");
    assert.match(name, /^[a-z]+_[a-z]+$/);
    assert.ok(isTaken(registry, name));
    release();
    registry.takeName(name, "b");
    release();
    assert.ok(isTaken(registry, name), "it is another's now");
  });

  it("keeps a name that two bear until both are gone", () => {
    const registry = things();
    const [a, b] = [thing("a", "web"), thing("b", "web")];
    for (const each of [a, b]) registry.add(each);
    registry.remove(b);
    assert.ok(isTaken(registry, "web"));
    registry.remove(a);
    assert.equal(isTaken(registry, "web"), false);
  });
});

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { keepFiles } from "../../test/fixtures/patched-files.js";
import { STATUS, THING, type Thing, type ThingStatus } from "../../test/fixtures/things.js";
import { Code, hasReason, KilnError } from "./errors.js";
import type { StoreStep } from "./failpoint.js";
import { exists } from "./files.js";
import { silentLogger } from "./log.js";
import { type ObjectKind, ObjectStore } from "./object-store.js";
import { deferred } from "./runtime.js";

const A = "a".repeat(8);
const B = "b".repeat(8);
const UMASK = process.umask();

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-store-"));
});
afterEach(async () => {
  process.umask(UMASK);
  await rm(root, { recursive: true, force: true });
});

type Kind = ObjectKind<Thing, ThingStatus>;

function storeAt(place: string, more: Partial<Kind> = {}): ObjectStore<Thing, ThingStatus> {
  return new ObjectStore<Thing, ThingStatus>({
    ...{ noun: "thing", root: place, id: /^[0-9a-f]{8}$/, log: silentLogger },
    record: { file: "thing.json", kind: THING },
    status: { file: "status.json", kind: STATUS },
    ...more,
  });
}

const things = (more: Partial<Kind> = {}) => storeAt(join(root, "things"), more);
const thing = (id: string, color = "red"): Thing => ({ version: 2, id, color, parts: [] });
const draft = (id: string, color?: string) => ({
  record: thing(id, color),
  status: { version: 1, state: "created" },
});
const withData = (text: string) => (directory: string) => writeFile(join(directory, "data"), text);
const ids = async (store: ObjectStore<Thing, ThingStatus>) => (await store.load()).map(({ id }) => id);

describe("an object that comes into being", () => {
  it("is there with all of it, and is kept twice", async () => {
    const store = things();
    await store.load();
    await store.create(A, draft(A), withData("x"));
    const names = ["data", "status.json", "status.json.bak", "thing.json", "thing.json.bak"];
    assert.deepEqual((await readdir(store.path(A))).sort(), names);
    const [loaded, ...others] = await store.load();
    assert.deepEqual(others, []);
    assert.deepEqual([loaded?.record.value, loaded?.status?.value], [thing(A), draft(A).status]);
    assert.deepEqual([loaded?.record.whole, loaded?.record.damage], [true, undefined]);
    assert.deepEqual(await readdir(store.root), [A]);
  });

  it("says of itself what its filling has found out", async () => {
    const store = things();
    await store.load();
    const made = await store.create(
      A,
      (color: string) => ({ record: thing(A, color) }),
      async () => "blue",
    );
    assert.equal(made.record.color, "blue");
    assert.equal((await store.load())[0]?.record.value?.color, "blue");
  });

  it("has no status where its kind has none", async () => {
    const record = { file: "thing.json", kind: THING };
    const kind = { noun: "thing", root, id: /^[0-9a-f]{8}$/, log: silentLogger };
    const store = new ObjectStore<Thing>({ ...kind, record });
    await store.create(A, { record: thing(A) }, withData("x"));
    assert.deepEqual((await readdir(store.path(A))).sort(), ["data", "thing.json", "thing.json.bak"]);
    const [loaded] = await store.load();
    assert.deepEqual([loaded?.record.value, loaded?.status], [thing(A), undefined]);
  });

  it("leaves nothing where its filling or its record fails, and waits for what is still being written", async () => {
    const store = things();
    await store.load();
    const full = new Error("the disk is full");
    const fails = () => Promise.reject(full);
    await assert.rejects(store.create(A, draft(A), fails), full);
    await assert.rejects(
      store.create(A, () => draft(A), fails),
      full,
    );
    let written = false;
    const slow = async (directory: string) => {
      await new Promise((resolve) => setImmediate(resolve));
      await writeFile(join(directory, "late"), "");
      written = true;
    };
    const unwritable = { ...draft(A), status: { version: 1, state: 1n as unknown as string } };
    await assert.rejects(store.create(A, unwritable, slow), TypeError);
    assert.ok(written);
    assert.deepEqual(await readdir(store.root), []);
  });

  it("is not made over another, which stays", async () => {
    const store = things();
    await store.load();
    await store.create(A, draft(A), withData("first"));
    await assert.rejects(store.create(A, draft(A, "blue"), withData("second")), (error) => {
      return hasReason(error, "thing-exists") && (error as KilnError).code === Code.AlreadyExists;
    });
    assert.equal(await readFile(store.path(A, "data"), "utf8"), "first");
    assert.deepEqual(await readdir(store.root), [A]);
  });

  it("is made although an earlier try could not be removed", async () => {
    const store = things();
    await store.load();
    await mkdir(join(store.root, `.creating-${A}`, "rest"), { recursive: true });
    await store.create(A, draft(A), withData("x"));
    assert.equal(await exists(store.path(A, "rest")), false);
  });

  it("has the modes of its kind, whatever the umask and an earlier release say", async () => {
    process.umask(0o077);
    const open = storeAt(join(root, "open"), {
      modes: { root: 0o755, directory: 0o755 },
      record: { file: "thing.json", kind: THING, mode: 0o644 },
    });
    process.umask(0o022);
    await mkdir(join(root, "things", B), { recursive: true });
    process.umask(0o077);
    const closed = things();
    for (const store of [open, closed]) {
      await store.load();
      await store.create(A, draft(A), async () => undefined);
    }
    const modes = (paths: string[]) =>
      Promise.all(paths.map(async (path) => ((await stat(path)).mode & 0o777).toString(8)));
    assert.deepEqual(await modes([open.root, open.path(A)]), ["755", "755"]);
    assert.deepEqual(await modes([closed.root, closed.path(A), closed.path(B)]), ["700", "700", "700"]);
    assert.deepEqual(await modes([closed.path(A, "thing.json"), closed.path(A, "status.json")]), [
      ...["600", "600"],
    ]);
  });
});

describe("an object that gives way to another", () => {
  it("is there until the new one is whole", async () => {
    const store = things();
    await store.load();
    await store.create(A, draft(A), withData("old"));
    const fails = () => Promise.reject(new Error("no"));
    await assert.rejects(store.replace(A, draft(A, "blue"), fails), /no/);
    assert.equal(await readFile(store.path(A, "data"), "utf8"), "old");
    await store.replace(A, draft(A, "blue"), withData("new"));
    await store.replace(B, draft(B), withData("none before"));
    assert.equal(await readFile(store.path(A, "data"), "utf8"), "new");
    assert.deepEqual((await readdir(store.root)).sort(), [A, B]);
  });

  it("comes back where the new one can't be put in its place", async () => {
    const refuse = (step: StoreStep) => {
      if (step === "create.aside") throw new Error("refused");
    };
    await things().load();
    await things().create(A, draft(A), withData("old"));
    const store = things({ onStep: refuse });
    await assert.rejects(store.replace(A, draft(A, "blue"), withData("new")), /refused/);
    assert.equal(await readFile(store.path(A, "data"), "utf8"), "old");
    assert.deepEqual(await readdir(store.root), [A]);
  });
});

describe("an object that goes", () => {
  it("is gone with all of it, and going again does nothing", async () => {
    const store = things();
    await store.load();
    await store.create(A, draft(A), withData("x"));
    await store.remove(A);
    await store.remove(A);
    assert.deepEqual(await readdir(store.root), []);
  });

  it("goes although an earlier removal of that id was cut", async () => {
    const store = things();
    await store.load();
    await store.create(A, draft(A), withData("x"));
    await mkdir(join(store.root, `.removing-${A}`, "rest"), { recursive: true });
    await store.remove(A);
    assert.deepEqual(await readdir(store.root), []);
  });

  it("is never the root, or what lies around it", async () => {
    const store = things();
    await store.load();
    await store.create(A, draft(A), withData("x"));
    for (const id of ["", ".", "..", `../things/${A}`, A.slice(1)]) {
      await assert.rejects(store.remove(id), (error) => hasReason(error, "bad-object-id"), id);
      assert.throws(() => store.path(id), KilnError);
    }
    assert.deepEqual(await ids(store), [A]);
  });
});

describe("a kill at each step", () => {
  /** What a kill would leave at each step of `body`, as directories of their own. */
  async function statesOf(body: (store: ObjectStore<Thing, ThingStatus>) => Promise<unknown>) {
    const states = new Map<StoreStep, string>();
    const onStep = async (step: StoreStep) => {
      const copy = join(root, `killed at ${step}`);
      await cp(join(root, "things"), copy, { recursive: true });
      states.set(step, copy);
    };
    await body(things({ onStep }));
    return states;
  }

  const COLORS: Readonly<Record<StoreStep, { from: "create" | "replace" | "remove"; left: string[] }[]>> = {
    "create.begun": [
      { from: "create", left: [] },
      { from: "replace", left: ["red"] },
    ],
    "create.filled": [
      { from: "create", left: [] },
      { from: "replace", left: ["red"] },
    ],
    "create.aside": [{ from: "replace", left: [] }],
    "create.renamed": [
      { from: "create", left: ["blue"] },
      { from: "replace", left: ["blue"] },
    ],
    "remove.renamed": [{ from: "remove", left: [] }],
  };

  for (const [step, cases] of Object.entries(COLORS)) {
    for (const { from, left } of cases) {
      it(`${step} of ${from}: a whole object or none, and nothing else`, async () => {
        await things().load();
        if (from !== "create") await things().create(A, draft(A, "red"), withData("red"));
        const states = await statesOf((store) =>
          from === "remove" ? store.remove(A) : store[from](A, draft(A, "blue"), withData("blue")),
        );
        const store = storeAt(states.get(step as StoreStep) ?? "");
        const found = await store.load();
        assert.deepEqual(
          found.map(({ record }) => record.value?.color),
          left,
        );
        for (const { record, status } of found) assert.ok(record.whole && status?.whole);
        assert.deepEqual(await readdir(store.root), left.length > 0 ? [A] : []);
        // Life goes on.
        await store.replace(A, draft(A, "green"), withData("green"));
        assert.equal((await store.load())[0]?.record.value?.color, "green");
      });
    }
  }

  it("in the midst of the filling: nothing is left", async () => {
    await things().load();
    const copy = join(root, "killed");
    await things().create(
      A,
      () => draft(A),
      async (directory) => {
        await writeFile(join(directory, "data"), "half");
        await cp(join(root, "things"), copy, { recursive: true });
      },
    );
    assert.deepEqual(await storeAt(copy).load(), []);
    assert.deepEqual(await readdir(copy), []);
  });

  it("in the midst of writing a record: its halves go, and what is not the store's stays", async () => {
    const store = things();
    await store.load();
    await store.create(A, draft(A), withData("x"));
    for (const name of ["thing.json.tmp-01", "status.json.bak.tmp-02", "data.tmp-03"]) {
      await writeFile(store.path(A, name), "{");
    }
    assert.deepEqual((await store.load())[0]?.record.value, thing(A));
    const left = (await readdir(store.path(A))).filter((name) => name.includes(".tmp-"));
    assert.deepEqual(left, ["data.tmp-03"]);
  });

  it("of an earlier release: what it had in the making goes too", async () => {
    const store = things({ oldPrefixes: [".building-"], beside: /^default\.json/ });
    await store.load();
    await store.create(A, draft(A), withData("x"));
    for (const name of [`.building-${B}`, `.building-removing-${B}`]) {
      await mkdir(join(store.root, name, "deep"), { recursive: true });
    }
    await writeFile(join(store.root, "default.json.tmp-0a"), "");
    await writeFile(join(store.root, "default.json"), "");
    assert.deepEqual(await ids(store), [A]);
    assert.deepEqual((await readdir(store.root)).sort(), [A, "default.json"]);
  });
});

describe("what a removal could not take away", () => {
  it("is a stray and is cleared, unlike what is being made or removed at that moment", async () => {
    let removing = deferred<void>();
    const store = things({ onStep: (step) => (step === "remove.renamed" ? removing.promise : undefined) });
    await store.load();
    for (const id of [A, B]) await store.create(id, draft(id), withData("x".repeat(5000)));
    using immutable = keepFiles((path) => path.includes(".removing-"));
    removing.resolve();
    await assert.rejects(store.remove(A), { code: "EPERM" });
    assert.deepEqual(await store.strays(new Set([B])), [join(store.root, `.removing-${A}`)]);
    assert.equal(await store.clearLeftovers(), 0);
    immutable[Symbol.dispose]();

    removing = deferred();
    const begun = deferred<void>();
    const goOn = deferred<void>();
    const making = store.create(A, draft(A), async () => {
      begun.resolve();
      await goOn.promise;
    });
    const gone = deferred<void>();
    const removed = store.remove(B, gone.resolve);
    await Promise.all([begun.promise, gone.promise]);
    assert.deepEqual(await store.strays(new Set()), [join(store.root, `.removing-${A}`)]);
    assert.ok((await store.clearLeftovers()) >= 5000);
    assert.deepEqual((await readdir(store.root)).sort(), [`.creating-${A}`, `.removing-${B}`]);
    goOn.resolve();
    removing.resolve();
    await Promise.all([making, removed]);
    assert.deepEqual([await readdir(store.root), await store.strays(new Set([A]))], [[A], []]);
  });
});

describe("strays", () => {
  it("are what belongs to no object, and what nobody is at work on any more", async () => {
    const store = things({ beside: /^default\.json/, oldPrefixes: [".building-"] });
    await store.load();
    for (const name of [A, B, "somebody's", `.creating-${B}`, ".building-x", "default.json.bak", "y.tmp-0"]) {
      await mkdir(join(store.root, name));
    }
    const strays = await store.strays(new Set([A]));
    const names = [`.building-x`, `.creating-${B}`, B, "somebody's"];
    assert.deepEqual(
      strays.sort(),
      names.map((name) => join(store.root, name)),
    );
    await store.load();
    assert.ok(await exists(join(store.root, "somebody's")));
  });
});

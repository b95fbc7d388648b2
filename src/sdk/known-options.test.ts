import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { openSdkBench, SDK_CALLS, type SdkBench } from "../../test/fixtures/sdk-calls.js";
import { Code, KilnError } from "../base/errors.js";
import type { Kiln } from "./kiln.js";

let bench: SdkBench;
let kilnd: FakeKilnd;
let kiln: Kiln;

before(async () => {
  bench = await openSdkBench();
  ({ kilnd, kiln } = bench);
});

after(() => bench.close());

type Call = (options: object) => unknown;

const CALLS: Readonly<Record<string, Call>> = Object.fromEntries(
  Object.entries(SDK_CALLS).map(([name, call]) => [name, (options: object) => call(bench, options)]),
);

/** What is told; awaiting covers what throws at once. */
async function refusalOf(call: Call, options: object): Promise<KilnError> {
  try {
    await call(options);
  } catch (error) {
    assert.ok(error instanceof KilnError, String(error));
    assert.equal(error.code, Code.InvalidArgument, error.message);
    return error;
  }
  return assert.fail("it was taken");
}

describe("an option that there is not", () => {
  for (const [name, call] of Object.entries(CALLS)) {
    it(`is refused by ${name}, before kilnd is asked`, async () => {
      const before = kilnd.calls.length;
      const error = await refusalOf(call, { bogusOption: 1 });
      assert.equal(error.reason, "unknown-option");
      assert.match(error.message, /there is no option "bogusOption"/);
      assert.match(error.hint ?? "", /there are: |did you mean/);
      assert.equal(kilnd.calls.length, before);
    });
  }

  it("is refused with the nearest that there is", async () => {
    for (const [name, given, meant] of [
      ["run", "memroy", "memory"],
      ["create", "workDir", "workdir"],
      ["exec", "timeout", "timeoutMs"],
      ["images.pull", "plainHTTP", "plainHttp"],
      ["fs.write", "timeoutms", "timeoutMs"],
    ] as const) {
      const error = await refusalOf(CALLS[name] as Call, { [given]: 1 });
      assert.equal(error.hint, `did you mean ${meant}?`);
    }
  });

  it("is refused inside of others", async () => {
    for (const options of [
      { publish: [{ vmport: 80 }] },
      { restart: { name: "always", retries: 1 } },
      { ttySize: { columns: 1, rows: 1, cols: 2 } },
    ]) {
      assert.equal((await refusalOf(CALLS.run as Call, options)).reason, "unknown-option");
    }
    const restart = { name: "always", retries: 1 };
    assert.equal((await refusalOf(CALLS["processes.start"] as Call, { restart })).reason, "unknown-option");
    const auths = { "registry.test": { user: "x" } };
    assert.equal((await refusalOf(CALLS["images.pull"] as Call, { auths })).reason, "unknown-option");
  });

  it("does not matter where it is undefined", async () => {
    assert.equal((await kiln.vms.list({ bogusOption: undefined, all: true } as object)).length, 1);
  });

  it("is not mistaken for what is no options at all", async () => {
    for (const given of ["x", ["x"], null, 5]) {
      assert.equal((await refusalOf(CALLS.df as Call, given as object)).reason, "bad-options");
    }
  });
});

/** A method of a declaration, with the type of its options. */
const WITH_OPTIONS = /^ {4}(?:static )?(\w+)\([^()]*?\boptions\?: ([^)]*)\)/gm;

describe("the door", () => {
  it("exports the type of every method's options, and the test above calls every such method", async () => {
    const types = (await readdir(import.meta.dirname)).filter((name) =>
      /^(?!index|.*\.test).*\.d\.ts$/.test(name),
    );
    const door = await readFile(join(import.meta.dirname, "index.d.ts"), "utf8");
    const found = new Set<string>();
    const methods = new Set<string>();
    for (const file of types) {
      const text = await readFile(join(import.meta.dirname, file), "utf8");
      for (const [, name, body = ""] of text.matchAll(/^export declare class (\w+)([\s\S]*?)^}/gm)) {
        if (!new RegExp(`\\b${name}\\b`).test(door)) continue;
        for (const [, method = "", type = ""] of body.matchAll(WITH_OPTIONS)) {
          found.add(type);
          methods.add(method);
        }
      }
    }
    const called = new Set(Object.keys(CALLS).map((name) => name.replace(/^.*\./, "")));
    assert.ok(found.size > 25, [...found].join());
    for (const type of found) assert.match(door, new RegExp(`\\b${type.replace(/\W/g, "\\$&")}\\b`));
    // What kiln's own CLI asks, of which the SDK's pages say nothing.
    for (const own of ["source", "target", "targetNow"]) methods.delete(own);
    assert.deepEqual(
      [...methods].filter((method) => !called.has(method)),
      [],
    );
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ALL, deadExports, exportsOf, isUsedInside, missingExports, usesIn } from "./exports.mjs";

describe("what a source exports", () => {
  it("is found in every form, overloads once", () => {
    const text = [
      "export function a(x: string): void;",
      "export function a(x: number): void {}",
      "export abstract class B {}",
      "export declare const c: number;",
      "export type D = string;",
      "export async function* e() {}",
      'export { f, type G as H } from "./f.js";',
      'export * from "./g.js";',
      'export * as i from "./i.js";',
      "const j = 1;",
      "export { j };",
      "  export const inside = 1;",
    ].join("\n");
    assert.deepEqual(
      exportsOf(text).map(({ name }) => name),
      ["a", "B", "c", "D", "e", "f", "H", "j", ALL, "i"],
    );
    assert.deepEqual(
      exportsOf(text).flatMap(({ name, isType }) => (isType ? [name] : [])),
      ["D", "H"],
    );
  });
});

describe("what a source takes of others", () => {
  for (const [text, name] of [
    ['import { x } from "./x.js";', "x"],
    ['import type { x as y } from "./x.js";', "x"],
    ['import { type x } from "./x.js";', "x"],
    ['export { x as y } from "./x.js";', "x"],
    ['const { x: y } = await import("./x.js");', "x"],
    ['type Y = import("./x.js").x;', "x"],
    ["const { x } = await import(`./x.js`);", "x"],
    ['import * as y from "./x.js";', ALL],
    ['export * from "./x.js";', ALL],
    ['const y = await import("./x.js");', ALL],
    ['load(() => import("./x.js").then((y) => y.x));', ALL],
  ]) {
    it(`is ${name} in ${text}`, () => assert.deepEqual(usesIn(text), [{ name, from: "./x.js" }]));
  }
});

describe("exports that nobody takes", () => {
  const dead = (sources, isDoor = () => false) => deadExports(new Map(Object.entries(sources)), isDoor);

  it("are named with their file", () => {
    const sources = {
      "src/a.ts": "export const used = 1;\nexport const unused = 2;\nexport interface Lost {}",
      "src/b.ts": 'import { used } from "./a.js";',
    };
    assert.deepEqual(dead(sources), [
      { file: "src/a.ts", name: "unused", isType: false },
      { file: "src/a.ts", name: "Lost", isType: true },
    ]);
  });

  it("are those of a room's door too, which passes on what nobody asks for", () => {
    const sources = {
      "src/x/a.ts": "export const one = 1;\nexport const two = 2;",
      "src/x/index.ts": 'export { one, two } from "./a.js";',
      "src/y.ts": 'import { one } from "./x/index.js";',
    };
    assert.deepEqual(dead(sources), [{ file: "src/x/index.ts", name: "two", isType: false }]);
  });

  it("are not those of a door for others, nor of a module that is taken whole", () => {
    const sources = {
      "src/sdk/index.ts": 'export { a } from "./a.js";',
      "src/sdk/a.ts": "export const a = 1;",
      "src/words.ts": "export const word = 1;",
      "src/late.ts": 'const words = await import("./words.js");',
    };
    assert.deepEqual(
      dead(sources, (file) => file === "src/sdk/index.ts"),
      [],
    );
  });
});

describe("names that nobody exports", () => {
  const missing = (text) =>
    missingExports(
      new Map([
        ["src/a/index.ts", 'export { one } from "./one.js";\nexport type { Two } from "./two.js";'],
        ["src/b/index.ts", 'export * from "../a/index.js";'],
        ["scripts/x.mjs", text],
      ]),
    );

  it("are named with who takes them and where", () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: as it is written in a script
    const text = "const { one, gone } = await import(`${ROOT}/dist/src/a/index.js`);";
    assert.deepEqual(missing(text), [{ file: "scripts/x.mjs", name: "gone", of: "src/a/index.ts" }]);
    assert.deepEqual(missing('import { gone } from "../src/a/index.js";'), missing(text));
  });

  it("are none where a module passes all on, is taken whole, or is not ours", () => {
    assert.deepEqual(missing('import { gone } from "../src/b/index.js";'), []);
    assert.deepEqual(missing('import * as a from "../src/a/index.js";'), []);
    assert.deepEqual(missing('import { readFile } from "node:fs/promises";'), []);
  });
});

it("a file's own need of what it exports is seen", () => {
  const text = "export interface Options {}\nexport function plan(o: Options) {}\nexport const planned = 1;";
  assert.deepEqual(
    ["Options", "plan", "planned"].map((name) => isUsedInside(text, name)),
    [true, false, false],
  );
});

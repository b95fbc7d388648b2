import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { undocumentedExports } from "./doors.mjs";

describe("the names of a door", () => {
  const bare = (files) =>
    undocumentedExports("dist/src/sdk/index.d.ts", (path) => files[path] ?? assert.fail(path));

  it("are refused bare, wherever they are declared", () => {
    const files = {
      "dist/src/sdk/index.d.ts": [
        'export { Vm, type Bare as Renamed } from "./vm.js";',
        'export * from "./more.js";',
        "export declare const VERSION: string;",
        "/** Explained. */",
        "export declare const PLACE: string;",
      ].join("\n"),
      "dist/src/sdk/vm.d.ts": [
        "/** A machine. */",
        "export declare class Vm {",
        "    /** Not of the type below. */",
        "}",
        "export interface Bare {",
        "}",
        "export interface NobodysBusiness {",
        "}",
      ].join("\n"),
      "dist/src/sdk/more.d.ts": "export type More = string;",
    };
    assert.deepEqual(bare(files), [
      { name: "VERSION", file: "dist/src/sdk/index.d.ts" },
      { name: "Renamed", file: "dist/src/sdk/vm.d.ts" },
      { name: "More", file: "dist/src/sdk/more.d.ts" },
    ]);
  });

  it("are explained by any of a function's declarations", () => {
    const text = [
      "/**",
      " * Brings it.",
      " */",
      "export declare function pull(what: string): void;",
      "export declare function pull(what: number): void;",
    ].join("\n");
    assert.deepEqual(bare({ "dist/src/sdk/index.d.ts": text }), []);
  });

  it("are not mixed up with longer ones", () => {
    const text = "/** Explained. */\nexport interface VmOptions {}\nexport interface Vm {}";
    assert.deepEqual(bare({ "dist/src/sdk/index.d.ts": text }), [
      { name: "Vm", file: "dist/src/sdk/index.d.ts" },
    ]);
  });

  it("are followed through an import, and left alone where a package declares them", () => {
    const files = {
      "dist/src/sdk/index.d.ts": [
        'import { a as b } from "../base/a.js";',
        'import type { Socket } from "node:net";',
        "export { b, Socket };",
        'export type { Message } from "@bufbuild/protobuf";',
      ].join("\n"),
      "dist/src/base/a.d.ts": "export declare const a: number;",
    };
    assert.deepEqual(bare(files), [{ name: "b", file: "dist/src/base/a.d.ts" }]);
  });
});

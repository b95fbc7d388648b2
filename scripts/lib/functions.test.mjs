import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { functionSizes, isGroupOfTests } from "./functions.mjs";

const sizes = (file, ...lines) =>
  functionSizes(file, lines.join("\n")).map(({ name, line, lines: count }) => [name, line, count]);

describe("the lengths of functions", () => {
  it("are counted of a function, over empty lines and blocks inside", () => {
    assert.deepEqual(
      sizes(
        "a.ts",
        "export async function pull(what: string): Promise<void> {",
        "  if (what) {",
        "    go();",
        "  } else {",
        "    stop();",
        "  }",
        "",
        "  done();",
        "}",
        "const after = 1;",
      ),
      [["pull", 1, 9]],
    );
  });

  it("are counted of parameters over several lines, and of one that is taken apart", () => {
    assert.deepEqual(
      sizes(
        "a.ts",
        "function plan(",
        "  a: string,",
        "): void {",
        "  go();",
        "}",
        "function other({",
        "  a,",
        "}: Options): void {",
        "  go();",
        "}",
      ),
      [
        ["plan", 1, 5],
        ["other", 6, 5],
      ],
    );
  });

  it("are counted of methods, but not of calls and of signatures alone", () => {
    assert.deepEqual(
      sizes(
        "a.ts",
        "class A {",
        "  async #send(it: string): Promise<void> {",
        "    call({",
        "      it,",
        "    });",
        "    call(",
        "      it,",
        "    );",
        "  }",
        "}",
        "interface B {",
        "  send(",
        "    it: string,",
        "  ): void;",
        "  stop(): void;",
        "}",
        "const service = {",
        "  list(request) {",
        "    return [];",
        "  },",
        "};",
      ),
      [
        ["#send", 2, 8],
        ["list", 18, 3],
      ],
    );
  });

  it("are counted of arrow functions, by name or by what they are given to", () => {
    assert.deepEqual(
      sizes(
        "a.test.ts",
        "const go = async () => {",
        "  run();",
        "};",
        'it("works", async () => {',
        "  run();",
        "});",
        "it(",
        '  "takes long",',
        "  async () => {",
        "    run();",
        "  },",
        ");",
      ),
      [
        ["go", 1, 3],
        ['it("works", async () => {', 4, 3],
        ["it(", 9, 3],
      ],
    );
  });

  it("are counted of Rust's functions, with bounds and in an impl", () => {
    assert.deepEqual(
      sizes(
        "a.rs",
        "impl A {",
        "    pub(crate) fn send(&self) -> Result<()> {",
        "        go();",
        "    }",
        "}",
        "fn all<T>(",
        "    it: T,",
        ") -> T",
        "where",
        "    T: Clone,",
        "{",
        "    it",
        "}",
        "trait B {",
        "    fn stop(&self);",
        "}",
      ),
      [
        ["send", 2, 3],
        ["all", 6, 8],
      ],
    );
  });

  it("are not those of a group of tests", () => {
    assert.ok(isGroupOfTests('describe("pull", () => {'));
    assert.ok(isGroupOfTests("vmmDriverContract"));
    assert.ok(!isGroupOfTests('it("describes it", () => {'));
  });
});

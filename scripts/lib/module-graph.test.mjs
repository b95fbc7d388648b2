import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { circleProblems, findCircles, moduleGraph } from "./module-graph.mjs";

const graphOf = (sources) => moduleGraph(new Map(Object.entries(sources)));

describe("circles of imports", () => {
  it("are found over three files, and told as a way round", () => {
    const circles = findCircles(
      graphOf({
        "src/x/a.ts": 'import { b } from "./b.js";',
        "src/x/b.ts": 'import { c } from "./deep/c.js";',
        "src/x/deep/c.ts": 'import { a } from "../a.js";\nimport { d } from "./d.js";',
        "src/x/deep/d.ts": "export const d = 1;",
      }),
    );
    assert.deepEqual(circles, [
      {
        files: ["src/x/a.ts", "src/x/b.ts", "src/x/deep/c.ts"],
        way: ["src/x/a.ts", "src/x/b.ts", "src/x/deep/c.ts", "src/x/a.ts"],
      },
    ]);
  });

  for (const [form, text] of [
    ["types alone", 'import type { A } from "./a.js";'],
    ["a type in place", 'export type B = import("./a.js").A;'],
    ["what is loaded late", 'const { a } = await import("./a.js");'],
    ["what is passed on", 'export { a } from "./a.js";'],
  ]) {
    it(`count ${form}`, () => {
      const circles = findCircles(graphOf({ "src/a.ts": 'import { b } from "./b.js";', "src/b.ts": text }));
      assert.deepEqual(
        circles.map(({ files }) => files),
        [["src/a.ts", "src/b.ts"]],
      );
    });
  }

  it("are one for a knot of several, told by the shortest", () => {
    const circles = findCircles(
      graphOf({
        "src/a.ts": 'import "./b.js";',
        "src/b.ts": 'import "./c.js";',
        "src/c.ts": 'import "./a.js";\nimport "./d.js";',
        "src/d.ts": 'import "./c.js";',
      }),
    );
    assert.equal(circles.length, 1);
    assert.deepEqual(circles[0].way, ["src/c.ts", "src/d.ts", "src/c.ts"]);
  });

  it("are told under the rooms in which they lie", () => {
    const graph = graphOf({ "src/net/a.ts": 'import "./b.js";', "src/net/b.ts": 'import "./a.js";' });
    assert.deepEqual(circleProblems(graph), [
      {
        key: "src/net",
        text: "2 files import one another in a circle: src/net/a.ts -> src/net/b.ts -> src/net/a.ts",
      },
    ]);
  });

  it("are none where two ways lead to the same file", () => {
    const circles = findCircles(
      graphOf({
        "src/a.ts": 'import "./b.js";\nimport "./c.js";',
        "src/b.ts": 'import "./d.js";',
        "src/c.ts": 'import "./d.js";\nimport "node:fs";',
        "src/d.ts": "",
      }),
    );
    assert.deepEqual(circles, []);
  });
});

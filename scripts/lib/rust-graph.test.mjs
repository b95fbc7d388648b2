import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { circleProblems } from "./module-graph.mjs";
import { rustGraph } from "./rust-graph.mjs";

const graphOf = (sources) =>
  rustGraph(new Map(Object.entries({ "agent/x/src/main.rs": "mod a;", ...sources })));
const circlesOf = (sources) =>
  circleProblems(graphOf(sources)).map(({ text }) => text.replaceAll("agent/x/src/", ""));

describe("circles of Rust modules", () => {
  it("are found over three files, and told as a way round", () => {
    const circles = circlesOf({
      "agent/x/src/a.rs": "use crate::deep::b::{self, B};",
      "agent/x/src/deep/mod.rs": "pub mod b;\nmod c;",
      "agent/x/src/deep/b.rs": "use super::c::C;",
      "agent/x/src/deep/c.rs": "fn c() { crate::a::call() }",
    });
    assert.deepEqual(circles, [
      "3 files import one another in a circle: a.rs -> deep/b.rs -> deep/c.rs -> a.rs",
    ]);
  });

  for (const [form, text] of [
    ["one name of a list over lines", "use crate::{\n    other::Thing,\n    a::{A, more as less},\n};"],
    ["a path in place", "fn b() -> crate::a::A { todo!() }"],
    ["a path that begins with what was imported", "use crate::deep;\nfn b() { deep::up::go() }"],
    ["what is passed on", "pub use super::a::A;"],
  ]) {
    it(`count ${form}`, () => {
      const circles = circlesOf({
        "agent/x/src/a.rs": "use crate::b::B;",
        "agent/x/src/b.rs": text,
        "agent/x/src/deep/mod.rs": "pub mod up;",
        "agent/x/src/deep/up.rs": "use crate::a::A;",
      });
      assert.equal(circles.length, 1);
    });
  }

  it("are those of a module and its children, where it uses more of them than that they are there", () => {
    const child = { "agent/x/src/a/child.rs": "use super::shared;" };
    assert.deepEqual(circlesOf({ "agent/x/src/a/mod.rs": "mod child;\npub fn shared() {}", ...child }), []);
    const parent = "mod child;\npub fn shared() { child::go() }";
    assert.deepEqual(circlesOf({ "agent/x/src/a/mod.rs": parent, ...child }), [
      "2 files import one another in a circle: a/child.rs -> a/mod.rs -> a/child.rs",
    ]);
    assert.equal(circlesOf({ "agent/x/src/a.rs": parent, ...child }).length, 1, "by the folder beside it");
  });

  it("are told under the crate in which they lie", () => {
    const graph = graphOf({ "agent/x/src/a.rs": "use crate::b;", "agent/x/src/b.rs": "use crate::a;" });
    assert.deepEqual(
      circleProblems(graph).map(({ key }) => key),
      ["agent/x"],
    );
  });

  it("are none in tests, in comments, or between crates", () => {
    const circles = circlesOf({
      "agent/x/src/a.rs": "use crate::b::B;",
      "agent/x/src/b.rs":
        "// see crate::a::A\npub struct B;\n\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
      "agent/x/src/b/tests.rs": "use crate::a::A;",
      "agent/y/src/lib.rs": "mod b;\nuse self::b::B;",
      "agent/y/src/b.rs": "use crate::a::A;",
    });
    assert.deepEqual(circles, []);
  });
});

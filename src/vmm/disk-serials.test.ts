import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { distinctSerials, recordedSerials, serialFacts } from "./disk-serials.js";

describe("the serials of a VM's disks", () => {
  it("leave out what two disks have in common", () => {
    const serials = distinctSerials([
      ["base", "20480117"],
      ["again", "20480117"],
      ["cow", "20480118"],
    ]);
    assert.deepEqual([...serials], [["cow", "20480118"]]);
  });

  it("are the same after a record", () => {
    for (const serials of [
      new Map([["base", "20480117"]]),
      new Map(),
      new Map([
        ["a", "a"],
        ["b", "b"],
      ]),
    ]) {
      const facts = JSON.parse(JSON.stringify({ consoleLog: "/c", ...serialFacts(serials) }));
      assert.deepEqual(recordedSerials(facts), serials);
    }
  });

  it("are unknown of a record without them, and of one that is damaged", () => {
    assert.equal(recordedSerials({ consoleLog: "/c" }), undefined);
    for (const diskSerials of ["base", "base=", "base=1,", "base=1 2", `base=${"1".repeat(21)}`]) {
      assert.equal(recordedSerials({ diskSerials }), undefined, diskSerials);
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { pickVersion, seriesOf } from "./source.js";

const VERSIONS = ["6.1.192-2", "6.1.192-1", "6.1.190-1", "6.1.19-1"];

describe("a kernel version", () => {
  it("names its series in whatever length it is written", () => {
    for (const version of ["6.1", "6.1.192", "6.1.192-2", "6.1.192-2~bpo12+1"]) {
      assert.equal(seriesOf(version), "6.1");
    }
  });

  for (const version of ["6", "v6.1", "6.1.", "6.1-2", "../6.1", "6.1.192-", "6.1.192-2 x", "--help"]) {
    it(`is not ${JSON.stringify(version)}`, () => {
      assert.throws(
        () => seriesOf(version),
        (error) => hasReason(error, "bad-kernel-version"),
      );
    });
  }
});

describe("pickVersion", () => {
  it("takes the newest that begins as asked", () => {
    assert.equal(pickVersion(VERSIONS, "6.1"), "6.1.192-2");
    assert.equal(pickVersion(VERSIONS, "6.1.192"), "6.1.192-2");
    assert.equal(pickVersion(VERSIONS, "6.1.190"), "6.1.190-1");
  });

  it("takes exactly the one that is written out", () => {
    assert.equal(pickVersion(VERSIONS, "6.1.192-1"), "6.1.192-1");
  });

  it("does not take 6.1.192 for 6.1.19", () => {
    assert.equal(pickVersion(VERSIONS, "6.1.19"), "6.1.19-1");
    assert.equal(pickVersion(["6.1.192-2"], "6.1.19"), undefined);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, KilnError } from "../../base/errors.js";
import { explainUnusable, isImagesFault } from "./unusable-image.js";

const passed = (limit: string) =>
  new KilnError(Code.ResourceExhausted, "too much", { reason: "x", hint: "raise it", details: { limit } });

describe("explainUnusable", () => {
  it("names the setting of a limit that was passed", () => {
    const explained = explainUnusable(passed("maxRatio"), "build it");
    assert.equal(explained.message, "build it: too much");
    assert.match(explained.hint ?? "", /raise layers\.max-ratio in config\.toml/);
  });

  it("does not advise to raise what can't be raised", () => {
    assert.match(explainUnusable(passed("maxNameBytes")).hint ?? "", /don't use this image/);
  });

  it("leaves every other hint as it is", () => {
    const other = new KilnError(Code.DataLoss, "damaged", { reason: "x", hint: "fetch it again" });
    assert.equal(explainUnusable(other, "build it").hint, "fetch it again");
  });
});

describe("isImagesFault", () => {
  for (const [what, error, expected] of [
    ["damage", new KilnError(Code.DataLoss, "", { reason: "digest-mismatch" }), true],
    ["an escape", new KilnError(Code.InvalidArgument, "", { reason: "path-escape" }), true],
    ["a passed limit", passed("maxEntries"), true],
    ["a full disk", new KilnError(Code.ResourceExhausted, "", { reason: "host-disk-full" }), false],
    [
      "a disk that was asked for too small",
      new KilnError(Code.ResourceExhausted, "", { reason: "disk-too-small" }),
      false,
    ],
    ["a cancelled build", new KilnError(Code.Cancelled, "", { reason: "cancelled" }), false],
    ["a bug", new TypeError("oops"), false],
  ] as const) {
    it(`is ${expected} for ${what}`, () => assert.equal(isImagesFault(error), expected));
  }
});

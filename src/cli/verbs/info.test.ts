import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { kernelText } from "./info.js";

describe("kernelText", () => {
  it("has the release once, in the name or behind it", () => {
    const kernel = { release: "6.1.0-amd64", why: "the default", source: "apt" };
    for (const name of ["debian-6.1.0-amd64", "own"]) {
      const text = kernelText({ ...kernel, name } as Parameters<typeof kernelText>[0]);
      assert.equal(text.split("6.1.0-amd64").length, 2);
      assert.ok(text.startsWith(name) && text.endsWith("(the default)"));
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { userOf } from "./convert-image.js";

describe("userOf", () => {
  for (const [text, user] of [
    ["", {}],
    ["0", { uid: { value: 0n } }],
    ["1002", { uid: { value: 1002n } }],
    ["1003:1004", { uid: { value: 1003n } }],
    ["www-data", { username: "www-data" }],
    ["www-data:1004", { username: "www-data" }],
    [":1004", {}],
    // Looked for in the image's /etc/passwd, as everywhere: Linux has no such uid.
    ["4294967296", { username: "4294967296" }],
    ["-1", { username: "-1" }],
    ["1e3", { username: "1e3" }],
  ] as const) {
    it(`of "${text}" is ${Object.keys(user)[0] ?? "nobody in particular"}`, () => {
      assert.deepEqual(userOf(text), user);
    });
  }
});

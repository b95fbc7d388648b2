import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { joinCommandLine, MAX_COMMAND_LINE } from "./kernel-command-line.js";

describe("joinCommandLine", () => {
  it("fills the kernel's limit to the last byte and not beyond", () => {
    const room = MAX_COMMAND_LINE - 1;
    assert.equal(joinCommandLine([], ["x".repeat(room)]).length, room);
    assert.throws(
      () => joinCommandLine([], ["x".repeat(room + 1)]),
      (error) => hasReason(error, "bad-kernel-args"),
    );
    assert.throws(
      () => joinCommandLine([], ["x".repeat(room)], 1),
      (error) => hasReason(error, "bad-kernel-args"),
    );
  });
});

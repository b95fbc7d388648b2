import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { saysGoodbye } from "./guest-pulse.js";

describe("saysGoodbye", () => {
  for (const text of ["[    9.1] reboot: Power down\r\n", "x\n[ 9.1] reboot: System halted\n"]) {
    it(`believes ${JSON.stringify(text)}`, () => assert.equal(saysGoodbye(text), true));
  }
  // A program may print the words; the kernel says nothing after them.
  for (const text of ["", "reboot: Power down\n$ ", "reboot: Restarting system\n"]) {
    it(`does not believe ${JSON.stringify(text)}`, () => assert.equal(saysGoodbye(text), false));
  }
});

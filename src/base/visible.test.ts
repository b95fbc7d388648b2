import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code, KilnError } from "./errors.js";
import { createLogger } from "./log.js";
import { badMount } from "./mounts.js";
import { visible, visibleJson } from "./visible.js";

const EVIL = "a\x1b[2J\x9b1m\u202eb\r";

describe("what a terminal would act on", () => {
  it("is written out, and lines stay lines", () => {
    assert.equal(visible(`${EVIL}\n\tc`), "a\\x1b[2J\\x9b1m\\u202eb\\x0d\n\tc");
  });

  it("is the same value as JSON, and none of it as it was", () => {
    const value = { [EVIL]: [EVIL, 5, undefined] };
    assert.deepEqual(JSON.parse(visibleJson(value, 2)), JSON.parse(JSON.stringify(value)));
    assert.equal(visible(visibleJson(value, 2)), visibleJson(value, 2));
  });

  it("is in no error's words, which programs print as they are, and makes no line of its own in a mount's", () => {
    const error = new KilnError(Code.NotFound, `share ${EVIL}`, { reason: "x", hint: `see ${EVIL}` });
    for (const text of [error.message, error.hint, error.stack?.split("\n")[0]])
      assert.equal(visible(text ?? ""), text);
    assert.match(badMount("a\nhint: rm -rf", "b").message, /^mount "a\\nhint: rm -rf": b$/);
  });

  it("is in no line of the log", () => {
    const lines: string[] = [];
    for (const format of ["logfmt", "json"] as const) {
      createLogger({ level: "info", format, journald: false, write: (line) => void lines.push(line) }).info(
        EVIL,
        {
          path: "\x1bc",
        },
      );
    }
    for (const line of lines) assert.equal(visible(line), line);
    assert.equal((JSON.parse(lines[1] ?? "") as { msg: string }).msg, EVIL);
  });
});

// Fuzzed bytes from whoever is less trusted: guests, clients, a VMM. By iterations, not by time; the seed is printed
// with the outcome, and a failure comes again with it. Each in a process of its own, under the watchdog.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runWatched } from "../fixtures/watchdog.js";

const SEED = "20261129";

describe("10^5 pieces of garbage neither spin nor fill nor hang", () => {
  it("as frames of a guest on the agent's session", async (t) => {
    const [words = ""] = await runWatched("watched/hostile-guest-frames.js", ["2000", SEED]);
    t.diagnostic(words);
    assert.match(words, /^seed \d+: 1\d{3} sessions ended, \d{2,3} were refused$/);
  });

  it("as frames of a client on kilnd's socket", async (t) => {
    const [words = "", answer] = await runWatched("watched/hostile-client-frames.js", ["2000", SEED]);
    t.diagnostic(words);
    assert.equal(answer, '{"version":"1"}');
  });

  it("as answers of Firecracker's API", async (t) => {
    const [words = ""] = await runWatched("watched/hostile-firecracker-answers.js", ["100000", SEED]);
    t.diagnostic(words);
    assert.match(words, /^seed \d+: \d+ answered, \d+ failed$/);
  });
});

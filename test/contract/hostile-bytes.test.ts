// Fuzzed bytes from whoever is less trusted: guests, clients, a VMM. By iterations, not by time; the seed is printed
// with the outcome, and a failure comes again with it. Each in a process of its own, under the watchdog.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { runWatched } from "../fixtures/watchdog.js";
import { hostAgent, skipWithoutRoot } from "./agent-bench.js";

const SEED = "20261129";

/** What a hostile host asks for is done: not outside a jail. */
function skipWithoutJail(): string | false {
  const skip = skipWithoutRoot();
  if (skip !== false) return skip;
  const tried = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "true"]);
  return tried.status === 0 ? false : "bwrap makes no jail here";
}

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

  it("as openings, frames and messages of a host on the agent's session", {
    skip: skipWithoutJail(),
  }, async (t) => {
    const [words = ""] = await runWatched("watched/hostile-host-frames.js", [hostAgent(), "2000", SEED]);
    t.diagnostic(words);
    assert.match(
      words,
      /^seed \d+: 2000 sessions of 50 pieces, \d{4,} calls came to an end, \d{2,} programs were left$/,
    );
  });

  it("as answers of Firecracker's API", async (t) => {
    const [words = ""] = await runWatched("watched/hostile-firecracker-answers.js", ["100000", SEED]);
    t.diagnostic(words);
    assert.match(words, /^seed \d+: \d+ answered, \d+ failed$/);
  });
});

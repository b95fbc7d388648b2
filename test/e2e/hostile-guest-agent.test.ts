// Guests whose agent is somebody else's program: it never says hello, sends noise in place of the hello, of HTTP/2 or
// of gRPC, or floods. Every start ends with a clear error in bounded time, nothing is left, and kilnd is none the worse.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { type Behaviour, cannotCompile, putAgent } from "../fixtures/hostile/agents.js";
import { assertNothingLeft } from "../fixtures/hostile/leftovers.js";
import { peakMemory } from "../fixtures/hostile/memory.js";
import { assertRefused } from "../fixtures/hostile/refusal.js";
import { TestKiln } from "./harness.js";

/** For guests that must be waited for: long enough for a boot on a busy machine. Each is tried twice. */
const WAIT = "25s";
/** What a hostile guest may cost kilnd beyond what it takes anyway. */
const MOST_GROWTH = 64 * 1024 * 1024;

let scratch = "";
let image = "";
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kiln-hostile-"));
  image = await busyboxImage(join(scratch, "busybox"));
});
after(() => rm(scratch, { recursive: true, force: true }));

interface Expected {
  readonly message: RegExp;
  readonly hint?: RegExp;
  /** The guest only waits: so does kilnd, and it tries once more. */
  readonly helloTimeout?: string;
}

async function assertStartFails(behaviour: Behaviour, expected: Expected): Promise<void> {
  const agent = join(scratch, behaviour);
  await putAgent(agent, behaviour);
  const daemonArgs = [`--boot-hello-timeout=${expected.helloTimeout ?? "60s"}`];
  const kiln = await TestKiln.start({ env: { KILN_AGENT: agent }, daemonArgs });
  try {
    // Base and kernel are made here, so that what follows measures the guest alone.
    await kiln.ok(["create", "--name", "first", "--network", "none", image]);
    const before = await peakMemory(kiln);
    const result = await kiln.kiln(["start", "first"]);
    assertRefused(result, { code: 1, ...expected });
    const grown = (await peakMemory(kiln)) - before;
    assert.ok(grown < MOST_GROWTH, `kilnd grew by ${grown} bytes`);
    assert.match(await kiln.ok(["ps", "-a"]), /Failed \((no-hello|channel-garbage|guest-setup-failed)\)/);
    assert.doesNotMatch(kiln.daemonLog, /level=error/, "a guest's failure is no failure of kilnd");
    await kiln.ok(["rm", "first"]);
    await kiln.ok(["system", "prune", "-af"]);
    await assertNothingLeft(kiln);
  } finally {
    await kiln.dispose();
  }
}

describe("a guest whose agent", { concurrency: 4, skip: cannotCompile() ?? false }, () => {
  it("never says hello", () =>
    assertStartFails("SILENT", {
      message: /^start VM first: the guest's agent did not answer within 5 s; last lines/,
      hint: /is the kernel one that kiln can boot\?/,
      helloTimeout: "5s",
    }));

  it("says hello and nothing more", () =>
    assertStartFails("MUTE", {
      message: /^start VM first: set the guest up: the guest's agent took too long; last lines/,
      helloTimeout: WAIT,
    }));

  it("floods the session with settings", () =>
    assertStartFails("SETTINGS", {
      message: /^start VM first: set the guest up: .*; last lines/,
      helloTimeout: WAIT,
    }));

  it("floods the session with pings", () =>
    assertStartFails("PINGS", {
      message: /^start VM first: set the guest up: .*; last lines/,
      helloTimeout: WAIT,
    }));

  it("sends noise in place of a hello", () =>
    assertStartFails("GARBAGE", {
      message: /^start VM first: the guest sent 8\d{6} bytes instead of the agent's echo; last lines/,
      hint: /something else than kiln's agent/,
    }));

  it("sends noise in place of HTTP/2", () =>
    assertStartFails("LATE_GARBAGE", {
      message: /^start VM first: set the guest up: Protocol error; last lines/,
    }));

  // Node ends the call by its code or by nghttp2's words, whichever of the stream and the session it closes first.
  it("sends one header block without end", () =>
    assertStartFails("HEADERS", {
      message:
        /^start VM first: set the guest up: (.*ENHANCE_YOUR_CALM|Too many CONTINUATION frames.*); last lines/,
    }));

  it("sends a message of 4 GiB", () =>
    assertStartFails("HUGE_MESSAGE", {
      message:
        /^start VM first: set the guest up: message size 4294967295 is larger than .* 262144; last lines/,
    }));

  it("answers calls that nobody made", () =>
    assertStartFails("UNASKED", {
      message: /^start VM first: set the guest up: Protocol error; last lines/,
    }));
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { VmmExitCause } from "../../vmm/types.js";
import { type EndFacts, judgeEnd, withConsole } from "./end.js";
import type { ReportedExit } from "./status.js";

function facts(over: Partial<EndFacts> & { cause?: VmmExitCause } = {}): EndFacts {
  const { cause = "guest-shutdown", ...rest } = over;
  const none = { report: undefined, intent: "run", consoleTail: "", mode: "app" } as const;
  return { ...none, vmm: { cause, detail: "detail" }, ...rest };
}

function report(over: Partial<ReportedExit> = {}): ReportedExit {
  return { code: 3, error: "", oomKilled: false, request: "none", finishedAt: "", ...over };
}

const PANIC =
  "x\n[ 1.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0xCODE\n[ 1.1] CPU: 0\n";

describe("judgeEnd", () => {
  it("believes the agent before the VMM", () => {
    assert.deepEqual(judgeEnd(facts({ report: report(), cause: "crashed" })), {
      kind: "exited",
      exitCode: 3,
      reason: "program-exited",
      message: "",
    });
  });

  const cases: [string, EndFacts, Record<string, unknown>][] = [
    [
      "a program that could not start",
      facts({ report: report({ code: 127, error: "x: not found" }) }),
      { exitCode: 127, reason: "program-not-started", message: "x: not found" },
    ],
    [
      "a program that the kernel killed for memory",
      facts({ report: report({ code: 137, oomKilled: true }) }),
      { exitCode: 137, reason: "out-of-memory" },
    ],
    ["a reboot that the guest reports", facts({ report: report({ request: "reboot" }) }), { kind: "reboot" }],
    [
      "a reboot during a stop, which is no reboot",
      facts({ report: report({ request: "reboot" }), intent: "stop" }),
      { kind: "exited", exitCode: 3 },
    ],
    [
      "a poweroff that the guest reports",
      facts({ report: report({ code: 143, request: "poweroff" }) }),
      { kind: "exited", exitCode: 0, reason: "guest-poweroff" },
    ],
    [
      "a kill by the user",
      facts({ cause: "killed", intent: "kill" }),
      { kind: "exited", exitCode: 137, reason: "killed" },
    ],
    [
      "a guest that halted and whose VMM was ended for it",
      facts({ cause: "killed", intent: "halted" }),
      { kind: "exited", exitCode: 0, reason: "guest-poweroff" },
    ],
    [
      "an init of the image's own that ended with a code",
      facts({ cause: "guest-reset", mode: "system", consoleTail: PANIC.replace("CODE", "00000300") }),
      { kind: "exited", exitCode: 3, reason: "init-exited" },
    ],
    [
      "an init of the image's own that a signal ended",
      facts({ cause: "guest-panic", mode: "system", consoleTail: PANIC.replace("CODE", "0000000b") }),
      { kind: "exited", exitCode: 139, reason: "init-exited" },
    ],
    [
      "an init that ended as it was asked to",
      facts({
        cause: "guest-reset",
        intent: "stop",
        mode: "system",
        consoleTail: PANIC.replace("CODE", "00000500"),
      }),
      { kind: "exited", exitCode: 5, reason: "init-exited" },
    ],
    [
      "an init that did not end in time",
      facts({ cause: "killed", intent: "stop", mode: "system" }),
      { kind: "exited", exitCode: 137, reason: "killed" },
    ],
    [
      "an agent that ended, which is a failure",
      facts({ cause: "guest-panic", consoleTail: PANIC.replace("CODE", "00000300") }),
      { kind: "failed", reason: "guest-panic" },
    ],
    ["a reset without a word", facts({ cause: "guest-reset" }), { kind: "reboot" }],
    [
      "a shutdown without a word",
      facts({ cause: "guest-shutdown" }),
      { kind: "exited", exitCode: 0, reason: "guest-poweroff" },
    ],
    [
      "a panic that the machine tells",
      facts({ cause: "guest-panic" }),
      { kind: "failed", reason: "guest-panic" },
    ],
    ["a VMM that crashed", facts({ cause: "crashed" }), { kind: "failed", reason: "vmm-died" }],
    ["a VMM that somebody else killed", facts({ cause: "killed" }), { kind: "failed", reason: "vmm-died" }],
    [
      "a VMM that went while nobody looked",
      facts({ cause: "unknown" }),
      { kind: "failed", reason: "vmm-died" },
    ],
  ];
  for (const [what, given, expected] of cases) {
    it(`knows ${what}`, () => {
      const verdict = judgeEnd(given);
      assert.deepEqual({ ...verdict, ...expected }, verdict);
    });
  }

  it("takes a reset after a panic's words for the panic, and repeats them", () => {
    const consoleTail =
      "[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\n[ 1.1] Call Trace:\n";
    const verdict = judgeEnd(facts({ cause: "guest-reset", consoleTail }));
    assert.equal(verdict.kind, "failed");
    assert.match(
      "message" in verdict ? verdict.message : "",
      /^the guest's kernel panicked: VFS: Unable to mount root fs;/,
    );
  });
});

describe("withConsole", () => {
  it("shows the last ten lines, without the guest's control characters", () => {
    const tail = Array.from({ length: 20 }, (_, n) => `\u001b[31mline ${n}\u001b[0m\u0007\r`).join("\n");
    const text = withConsole("it ended", tail);
    assert.match(text, /^it ended; last lines of its console:\nline 10\n/);
    assert.match(text, /line 19$/);
    assert.doesNotMatch(text, /\p{Cc}(?<!\n)/u);
  });

  it("says so where there are none", () => {
    assert.equal(withConsole("it ended", "\n \n"), "it ended (its console is empty)");
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { judgeExit as judgeFirecracker } from "./firecracker/exit-cause.js";
import { judgeExit as judgeQemu } from "./qemu/exit-cause.js";

describe("judgeExit of QEMU", () => {
  const nothing = {
    shutdownReason: undefined,
    panicked: false,
    killed: false,
    watched: true,
    end: {},
    stderr: "",
  };
  const cases: [string, Partial<Parameters<typeof judgeQemu>[0]>, string][] = [
    ["a poweroff", { shutdownReason: "guest-shutdown" }, "guest-shutdown"],
    ["a reboot", { shutdownReason: "guest-reset" }, "guest-reset"],
    ["a panic by its event", { panicked: true, shutdownReason: "guest-panic" }, "guest-panic"],
    ["a panic whose shutdown event is lost", { panicked: true }, "guest-panic"],
    [
      "a poweroff while we were killing it",
      { shutdownReason: "guest-shutdown", killed: true },
      "guest-shutdown",
    ],
    ["our quit", { shutdownReason: "host-qmp-quit", killed: true }, "killed"],
    ["our SIGKILL", { end: { signal: "SIGKILL" }, killed: true }, "killed"],
    ["somebody's SIGKILL", { end: { signal: "SIGKILL" } }, "crashed"],
    ["somebody's SIGTERM", { shutdownReason: "host-signal", end: { code: 0 } }, "crashed"],
    ["an end that nobody watched", { watched: false }, "unknown"],
  ];
  for (const [what, evidence, cause] of cases) {
    it(`calls ${what} ${cause}`, () => {
      assert.equal(judgeQemu({ ...nothing, ...evidence }).cause, cause);
    });
  }

  it("tells what the sandbox's signal means, and QEMU's last words", () => {
    const { detail } = judgeQemu({ ...nothing, end: { signal: "SIGSYS" }, stderr: "last words" });
    assert.match(detail, /seccomp.*last words/);
  });
});

describe("judgeExit of Firecracker", () => {
  const nothing = { end: {}, killed: false, endedCleanly: false, watched: true, words: "" };

  it("calls status 0 a reboot, by status or by log", () => {
    assert.equal(judgeFirecracker({ ...nothing, end: { code: 0 } }).cause, "guest-reset");
    assert.equal(judgeFirecracker({ ...nothing, endedCleanly: true }).cause, "guest-reset");
  });

  it("calls our SIGKILL killed and another's a crash", () => {
    const end = { signal: "SIGKILL" } as const;
    assert.equal(judgeFirecracker({ ...nothing, end, killed: true }).cause, "killed");
    assert.equal(judgeFirecracker({ ...nothing, end }).cause, "crashed");
  });

  it("tells a status from the signal that it looks like behind a jail's monitor", () => {
    const { detail } = judgeFirecracker({ ...nothing, end: { signal: "SIGXCPU", note: "a note" } });
    assert.match(detail, /exit code 152: a note; a bad configuration/);
    assert.match(judgeFirecracker({ ...nothing, end: { signal: "SIGSEGV" } }).detail, /signal SIGSEGV/);
  });

  it("tells what Firecracker's statuses mean", () => {
    const exit = judgeFirecracker({ ...nothing, end: { code: 148 }, words: "the log's last line" });
    assert.equal(exit.cause, "crashed");
    assert.match(exit.detail, /148; its seccomp filter.*; the log's last line/);
  });
});

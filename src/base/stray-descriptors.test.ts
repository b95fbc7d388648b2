import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { closesOnExec } from "./stray-descriptors.js";

/** Node marks what it finds from 0 on and stops at the first gap above 15. */
const [NEAR, FAR] = [5, 200];

/** What a child of a process that was started with two descriptors of somebody else's holds of that file. */
function heldByChild(then: string): { closed: number[]; held: string } {
  const script = `
    import { execFileSync } from "node:child_process";
    import { openSync } from "node:fs";
    import { closeStrayDescriptors } from ${JSON.stringify(new URL("stray-descriptors.js", import.meta.url).href)};
    const closed = ${then};
    const held = execFileSync("sh", ["-c", "for fd in /proc/$$/fd/*; do readlink $fd; done; true"], { encoding: "utf8" });
    process.stdout.write(JSON.stringify({ closed, held }));`;
  const started = `exec ${NEAR}</etc/passwd ${FAR}</etc/passwd; exec "$@"`;
  const node = [process.execPath, "--input-type=module", "-e", script];
  const { stdout, stderr, status } = spawnSync("bash", ["-c", started, "bash", ...node], {
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as { closed: number[]; held: string };
}

describe("closeStrayDescriptors", () => {
  it("leaves a child nothing of what this process was started with", () => {
    assert.match(heldByChild("[]").held, /passwd/, "without it one reaches the child");
    const { closed, held } = heldByChild("closeStrayDescriptors()");
    assert.ok(closed.includes(FAR));
    assert.doesNotMatch(held, /passwd/);
  });

  it("closes none that is to be kept", () => {
    const { closed } = heldByChild(`closeStrayDescriptors([${FAR}])`);
    assert.ok(!closed.includes(FAR));
  });

  it("takes nothing of Node's own or ours for a stray one", () => {
    // Once what was there before has gone, nothing is found any more.
    const own = `(closeStrayDescriptors(), openSync("/etc/hostname"), execFileSync("true"), closeStrayDescriptors())`;
    assert.deepEqual(heldByChild(own).closed, []);
  });
});

describe("closesOnExec", () => {
  it("reads the kernel's word, and leaves what it can't read alone", () => {
    assert.equal(closesOnExec("pos:\t0\nflags:\t02100002\nmnt_id:\t15\n"), true);
    assert.equal(closesOnExec("pos:\t0\nflags:\t0100000\nmnt_id:\t29\n"), false);
    for (const odd of ["", "pos:\t0\n", "flags:\tx\n"]) assert.equal(closesOnExec(odd), true, odd);
  });
});

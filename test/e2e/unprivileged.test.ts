// An ordinary user can do all of it: kilnd and the CLI run as a user nobody knows, without any capability, with
// no_new_privs (no setuid helper can help), under strace, which sees no device and no namespace but the jails' own.

import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { copyCheckout } from "../fixtures/checkout-copy.js";
import { archiveBytes } from "../fixtures/images/tar-writer.js";
import { run, TestKiln } from "./harness.js";

const USER = { uid: 54_321, gid: 54_321 };
const WITHOUT_RIGHTS = [
  "setpriv",
  `--reuid=${USER.uid}`,
  `--regid=${USER.gid}`,
  "--clear-groups",
  "--inh-caps=-all",
  "--bounding-set=-all",
  "--no-new-privs",
];
/** Every VMM is started in a session of its own: strace must see that, or it sees nothing. */
const CONTROL = "setsid";
/** What kiln must never need: each call is traced, and none may appear. Mounts are the jails', in their own namespaces. */
const TRACED = [CONTROL, "fsopen", "move_mount", "setns", "mknod", "mknodat"];
/** Calls as they began: where two processes call at once, strace tells the end of each on a line of its own ("<... X resumed>"). */
const begun = (text: string) =>
  text.split("\n").filter((line) => line !== "" && !/^\d+ +<\.\.\. \w+ resumed>/.test(line));
const skip = process.getuid?.() === 0 ? false : "this run is by an ordinary user already";

describe("an ordinary user without any capability", { skip }, () => {
  let kiln: TestKiln;
  let scratch = "";
  let trace = "";
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "kiln-user-"));
    await chmod(scratch, 0o755);
    // This checkout may lie where that user can't look (/root): what runs is copied.
    const programs = await copyCheckout(join(scratch, "kiln"));
    await mkdir(join(scratch, "home"));
    await run(["chown", "-R", `${USER.uid}:${USER.gid}`, join(scratch, "home")]);
    trace = join(scratch, "home", "trace");
    kiln = await TestKiln.start({
      owner: USER,
      prefix: WITHOUT_RIGHTS,
      daemonPrefix: [
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "signal=none",
        "-o",
        trace,
        "-e",
        `trace=${TRACED.join(",")}`,
      ],
      programs,
      env: { HOME: join(scratch, "home"), USER: "stranger" },
    });
  });
  after(async () => {
    await kiln.dispose();
    await rm(scratch, { recursive: true, force: true });
  });

  it("runs an image, execs, copies and publishes, with root inside the guest only", async () => {
    const image = await busyboxImage(join(scratch, "busybox"));
    assert.equal((await kiln.ok(["run", "--rm", image, "id", "-u"])).trim(), "0");
    const server = ["sh", "-c", "while true; do echo from-the-guest | nc -l -p 7 -w 1; done"];
    await kiln.ok(["run", "-d", "--name", "vm", "-p", "127.0.0.1:0:7", image, ...server]);
    assert.match(await kiln.ok(["exec", "-u", "app", "vm", "id"]), /uid=1000\(app\)/);
    await kiln.ok(["cp", "-", "vm:/root"], { stdin: archiveBytes([{ path: "hello", data: "hello\n" }]) });
    assert.equal(await kiln.ok(["exec", "vm", "cat", "/root/hello"]), "hello\n");
    assert.match(await kiln.ok(["port", "vm", "7"]), /^127\.0\.0\.1:\d+\n$/);
    await kiln.ok(["stop", "-t", "1", "vm"]);
    await kiln.ok(["rm", "vm"]);
  });

  it("shows no device call to strace, and no mount to the host", async () => {
    const calls = begun(await readFile(trace, "utf8"));
    // A named pipe is no device, and everybody may make one (Firecracker's log and metrics).
    const others = calls.filter((line) => !line.includes(`${CONTROL}(`) && !line.includes("S_IFIFO|"));
    assert.ok(calls.length > 0, "strace has seen the VMMs start");
    assert.deepEqual(others, [], "kilnd and all that it started made none of these calls");
    const daemon = (await kiln.processes()).find(({ command }) => command.includes("daemon/main.js"));
    // Not what is mounted there: other tests mount on this host meanwhile.
    const mounts = (pid: number | string) => readlink(`/proc/${pid}/ns/mnt`);
    assert.equal(await mounts(daemon?.pid ?? 0), await mounts("self"));
  });

  it("runs every process of it as that user, without capabilities", async () => {
    const image = await busyboxImage(join(scratch, "busybox"));
    const vm = (await kiln.ok(["run", "-d", image, "sleep", "1000"])).trim();
    const { pid } = JSON.parse(await kiln.ok(["inspect", vm]))[0].status as { pid: number };
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    assert.match(status, new RegExp(`^Uid:\\s+${USER.uid}\\s+${USER.uid}\\s`, "m"));
    for (const set of ["CapPrm", "CapEff", "CapBnd"])
      assert.match(status, new RegExp(`^${set}:\\s+0+$`, "m"));
    assert.match(status, /^NoNewPrivs:\s+1$/m);
    await kiln.ok(["rm", "-f", vm]);
  });
});

// An ordinary user can do all of it: kilnd and the CLI run as a user nobody knows, without any capability, with
// no_new_privs (no setuid helper can help), under strace, which sees no device and no namespace but the jails' own.

import assert from "node:assert/strict";
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
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
/** The one of them that the server of a share makes, in its own namespace: what it shares becomes its root. */
const OWN_ROOT = /move_mount\(\d+, "", AT_FDCWD, "\.", MOVE_MOUNT_F_EMPTY_PATH/;
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
      // For the share: Debian's has no 9p.
      moreKernels: ["kiln"],
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

  it("shares what is its own, as its own, and nothing that it may not read itself", async () => {
    const shared = join(scratch, "home", "shared");
    await mkdir(shared);
    await writeFile(join(shared, "mine"), "of the user\n");
    await writeFile(join(shared, "secret"), "of root\n", { mode: 0o600 });
    for (const path of [shared, join(shared, "mine")]) await chown(path, USER.uid, USER.gid);
    const script = [
      "cat /work/mine",
      "stat -c '%u:%g' /work/mine /work/secret",
      "echo from the guest > /work/new && mkdir /work/made",
      "for attempt in 'cat /work/secret' 'chmod 666 /work/secret' 'chown 1000 /work/new' 'touch /look/x'; do",
      '  $attempt 2>&1 && echo "$attempt was allowed"',
      "done; true",
    ].join("\n");
    const mounts = ["-v", `${shared}:/work`, "-v", `${shared}:/look:ro`];
    const image = await busyboxImage(join(scratch, "busybox"));
    const run = ["run", "--rm", "--kernel", "kiln", ...mounts, image, "sh", "-c", script];
    const lines = (await kiln.ok(run)).trim().split("\n");
    assert.deepEqual(lines.slice(0, 3), ["of the user", "0:0", "65534:65534"]);
    const refusals = [/Permission denied/, /not permitted/, /not permitted/, /Read-only file system/];
    assert.equal(lines.length, 3 + refusals.length, lines.join("\n"));
    for (const [at, refusal] of refusals.entries()) assert.match(lines[3 + at] ?? "", refusal);
    assert.deepEqual((await readdir(shared)).sort(), ["made", "mine", "new", "secret"]);
    for (const name of ["new", "made"]) {
      const { uid, gid } = await stat(join(shared, name));
      assert.deepEqual({ uid, gid }, USER, name);
    }
  });

  it("shows no device call to strace, and no mount to the host", async () => {
    const calls = begun(await readFile(trace, "utf8"));
    // A named pipe is no device, and everybody may make one (Firecracker's log and metrics).
    const isKnown = (line: string) =>
      [`${CONTROL}(`, "S_IFIFO|"].some((word) => line.includes(word)) || OWN_ROOT.test(line);
    const others = calls.filter((line) => !isKnown(line));
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

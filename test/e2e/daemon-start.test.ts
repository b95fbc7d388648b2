// How kilnd starts and ends: one per data root, its socket's mode, systemd's socket, signals, flags.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, readlink, rename, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { identifyProcess } from "../../src/base/processes.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { removeWatched } from "../fixtures/remove-watched.js";
import { DAEMON, eventually, KILN, makeRoot, run, TestKiln } from "./harness.js";

/** As a careless script leaves them: Node marks the near one close-on-exec and does not see the far one. */
const STRAYS = 'exec 5</etc/passwd 200</etc/passwd; exec "$@"';

let kiln: TestKiln;
before(async () => {
  kiln = await TestKiln.start({ daemonPrefix: ["bash", "-c", STRAYS, "bash"] });
});
after(() => kiln.dispose());

/**
 * All that a VM's processes may hold: what they made themselves, their pipes and sockets, devices, and the VM's disks,
 * which QEMU has by these names in its jail.
 */
const OF_A_VM = /^(socket:|pipe:|anon_inode:|\/dev\/(null|kvm)$|\/disk-\w+$)/;

interface Holder {
  readonly program: string;
  readonly holds: readonly string[];
}

async function filesOf(pid: number): Promise<string[]> {
  const numbers = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const links = numbers.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => ""));
  return (await Promise.all(links)).filter((link) => link !== "");
}

/** What kilnd has started, all the way down, with the files that each one has open. */
async function descendants(pid: number): Promise<Holder[]> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "")).trim();
  const found: Holder[] = [];
  for (const child of children === "" ? [] : children.split(" ").map(Number)) {
    const program = await readFile(`/proc/${child}/comm`, "utf8").catch(() => undefined);
    if (program === undefined) continue; // it has ended
    found.push({ program: program.trim(), holds: await filesOf(child) }, ...(await descendants(child)));
  }
  return found;
}

describe("kilnd", () => {
  it("listens on a socket for its user and group only", async () => {
    assert.equal((await stat(kiln.socket)).mode & 0o777, 0o660);
  });

  it("is reached again, the same one, where its socket was removed, and the socket's directory", async () => {
    const pid = kiln.daemonPid;
    for (const path of [kiln.socket, dirname(kiln.socket)]) {
      await removeWatched(path);
      await eventually("its socket is there again", async () =>
        (await kiln.kiln(["ps", "-q"])).code === 0 ? true : undefined,
      );
      // Its data root has one kilnd only: who answers is this one.
      assert.ok(await identifyProcess(pid));
    }
  });

  it("refuses a data root that another kilnd uses, and names that one", async () => {
    const { code, stderr } = await run([process.execPath, DAEMON, `--socket=${kiln.root}/other.sock`], {
      env: kiln.env,
    });
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`data is used by another kilnd \\(pid ${kiln.daemonPid}\\)`));
    assert.match(stderr, /^hint: .*KILN_ROOT/m);
  });

  it("explains itself", async () => {
    const help = await run([process.execPath, DAEMON, "--help"]);
    assert.deepEqual([help.code, /--disk-reserve/.test(help.stdout)], [0, true]);
    const version = await run([process.execPath, DAEMON, "--version"]);
    assert.match(version.stdout, /^kilnd \d+\.\d+\.\d+\n$/);
    const wrong = await run([process.execPath, DAEMON, "--nothere"]);
    assert.equal(wrong.code, 2);
  });

  it("says where a setting came from", async () => {
    await kiln.stopDaemon();
    const other = await TestKiln.start({
      env: { KILN_BOOT_CONCURRENT: "7" },
      daemonArgs: ["--log-level=debug"],
    });
    try {
      const { daemon, settings = daemon?.settings } = JSON.parse(
        await other.ok(["info", "--format", "json"]),
      );
      const origins = Object.fromEntries(
        settings.map(({ name, origin }: { name: string; origin: string }) => [name, origin]),
      );
      assert.equal(origins["boot.concurrent"], "environment");
      assert.equal(origins["log.level"], "flag");
      assert.equal(origins["boot.silence-timeout"], "default");
    } finally {
      await other.dispose();
      await kiln.startDaemon();
    }
  });

  it("ends on SIGTERM, removes its socket, and leaves its VMs running", async () => {
    const image = await busyboxImage(join(kiln.root, "busybox"));
    await kiln.ok(["run", "-d", "--name", "stays", "-m", "128m", image, "sleep", "100000"]);
    const pid = JSON.parse(await kiln.ok(["inspect", "stays"]))[0].status.pid as number;
    const ours = await filesOf(kiln.daemonPid);
    const held = await descendants(kiln.daemonPid);
    assert.ok(held.length >= 2, held.map(({ program }) => program).join(" "));
    for (const { program, holds } of held) {
      assert.deepEqual(
        holds.filter((what) => !OF_A_VM.test(what) || (what.startsWith("socket:") && ours.includes(what))),
        [],
        program,
      );
    }
    await kiln.stopDaemon("SIGTERM");
    await assert.rejects(stat(kiln.socket));
    process.kill(pid, 0);
    await kiln.startDaemon();
    assert.equal(await kiln.ok(["exec", "stays", "echo", "here"]), "here\n");
    const before = await kiln.ok(["ps", "--no-trunc", "-q"]);
    await rm(kiln.socket);
    assert.equal(await kiln.ok(["ps", "--no-trunc", "-q"]), before, "after its socket was removed");
    assert.equal(await kiln.ok(["exec", "stays", "echo", "here"]), "here\n");
    await kiln.ok(["rm", "-f", "stays"]);
  });
});

describe("socket activation", () => {
  it("serves the socket that systemd passes and leaves its file alone", async () => {
    const root = await makeRoot();
    const path = join(root, "passed.sock");
    const listener = createServer();
    listener.listen(path);
    await once(listener, "listening");
    // As systemd does it: the socket is descriptor 3, and LISTEN_PID names the process that it is for.
    const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
    const daemon = spawn("sh", ["-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "${process.execPath}" "${DAEMON}"`], {
      env: { ...process.env, KILN_ROOT: root },
      stdio: ["ignore", "ignore", "inherit", fd],
    });
    try {
      // We must not take its clients; Node would remove the file with the listener.
      await rename(path, `${path}.kept`);
      await new Promise((resolve) => listener.close(resolve));
      await rename(`${path}.kept`, path);
      const env = { ...process.env, KILN_ROOT: root, KILN_HOST: `unix://${path}` };
      const version = await run([...KILN, "version", "--format", "json"], { env });
      assert.equal(version.code, 0, version.stderr);
      const ended = once(daemon, "exit");
      daemon.kill("SIGTERM");
      await ended;
      assert.ok((await stat(path)).isSocket());
    } finally {
      daemon.kill("SIGKILL");
      await rm(root, { recursive: true, force: true });
    }
  });
});

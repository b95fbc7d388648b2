// A program in a VMM's place, in its jail with its user, against a live kilnd with a VM: what it sees, opens, connects to
// and signals is its own and nothing else. By root, and by an ordinary user.

import assert from "node:assert/strict";
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { vmRunDirectory } from "../../src/base/paths.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { copyCheckout } from "../fixtures/checkout-copy.js";
import { run, TestKiln } from "./harness.js";
import type { ProbeRequest } from "./jail-prober.js";

const USER = { uid: 54_325, gid: 54_325 };
const VM_USER = { uid: 1_900_060_000, gid: 1_900_060_000 };
const isRoot = process.getuid?.() === 0;
const skip =
  process.arch === "x64"
    ? !isRoot && "root is needed to be both users"
    : "the probes are x86_64's system calls";
const DRIVERS = ["qemu", "firecracker"] as const;
/** Firecracker has KVM, under root by a node of its user's; /tmp: there the way to the probes, which stand in for a program of one file, and nothing else. */
const ALLOWED = {
  qemu: ["read its own"],
  firecracker: ["read its own", "see /tmp", "see /dev/kvm", "append to /dev/kvm"],
};
const OWN_FILES = {
  qemu: ["dev", "in", "out", "usr"],
  firecracker: ["config.json", "dev", "disk-out", "initrd", "log", "metrics", "s", "tmp", "usr", "vmlinux"],
};

for (const who of ["root", "an ordinary user"] as const) {
  describe(`a VMM's jail under ${who}`, { skip }, () => {
    const rootless = who !== "root";
    let kiln: TestKiln;
    let scratch = "";
    const servers: Server[] = [];
    const answersOf = { qemu: new Map<string, string>(), firecracker: new Map<string, string>() };

    before(async () => {
      scratch = await mkdtemp(join(tmpdir(), "kiln-jail-"));
      await chmod(scratch, 0o755);
      const image = await busyboxImage(join(scratch, "busybox"));
      const programs = await copyCheckout(join(scratch, "kiln"));
      const prefix = [
        "setpriv",
        `--reuid=${USER.uid}`,
        `--regid=${USER.gid}`,
        "--clear-groups",
        "--no-new-privs",
      ];
      const home = join(scratch, "home");
      await mkdir(join(home, ".ssh"), { recursive: true });
      await writeFile(join(home, ".ssh/id_ed25519"), "secret");
      if (rootless) await run(["chown", "-R", `${USER.uid}:${USER.gid}`, home]);
      kiln = await TestKiln.start(
        rootless ? { owner: USER, prefix, programs, env: { HOME: home, USER: "stranger" } } : {},
      );
      // A VMM is handed its files open: a root that its user can't enter is no hindrance.
      await chmod(kiln.root, 0o700);
      const id = (await kiln.ok(["run", "-d", "--network", "none", image, "sleep", "1000"])).trim();
      const request = {
        ...(rootless ? {} : { runAs: VM_USER }),
        ...(await target(kiln, id, home)),
        abstract: await listen(`\0kiln-jail-${process.pid}-${who}`),
        port: Number(await listen(0)),
      };
      // The copy is one that the ordinary user may read too.
      const prober = await reachable(fileURLToPath(new URL("jail-prober.js", import.meta.url)));
      for (const driver of DRIVERS) {
        const directory = join(scratch, driver);
        await mkdir(directory);
        if (rootless) await chown(directory, USER.uid, USER.gid);
        const probe: ProbeRequest = { ...request, driver, directory };
        const words = [process.execPath, prober, JSON.stringify(probe)];
        const { code, stdout, stderr } = await run(rootless ? [...prefix, ...words] : words);
        assert.equal(code, 0, stderr);
        const { failure, text } = JSON.parse(stdout) as { failure: string; text: string };
        assert.equal(failure, "");
        for (const line of text.trimEnd().split("\n")) {
          const at = line.lastIndexOf("=");
          answersOf[driver].set(line.slice(0, at), line.slice(at + 1));
        }
      }
    });
    after(async () => {
      for (const server of servers) server.close();
      await kiln.dispose();
      await rm(scratch, { recursive: true, force: true });
    });

    async function listen(where: string | 0): Promise<string> {
      const server = createServer((socket) => socket.destroy());
      servers.push(server);
      await new Promise<void>((resolve) =>
        where === 0 ? server.listen(0, "127.0.0.1", resolve) : server.listen({ path: where }, resolve),
      );
      return where === 0 ? String((server.address() as { port: number }).port) : where.slice(1);
    }

    /** The compiled tests, where both users reach them. */
    async function reachable(path: string): Promise<string> {
      if (!rootless) return path;
      const copy = join(scratch, "kiln/dist");
      await run(["cp", "-r", join(path, "../../../test"), copy]);
      return join(copy, "test/e2e/jail-prober.js");
    }

    for (const driver of DRIVERS) {
      const answers = answersOf[driver];

      it(`refuses every probe that leads out of it, in place of ${driver}`, () => {
        const outcomes = [...answers].filter(([, value]) => value === "done" || value === "refused");
        assert.ok(outcomes.length > 30, `${outcomes.length} probes answered`);
        assert.ok(answers.has("end"), "all probes were made");
        const done = outcomes.filter(([name, value]) => value === "done" && !ALLOWED[driver].includes(name));
        assert.deepEqual(done, []);
      });

      it(`has its own files and nothing else of the host, in place of ${driver}`, () => {
        assert.equal(answers.get("read its own"), "done");
        const top = (answers.get("top") ?? "").split(" ").filter((name) => !/^(s?bin|lib\w*)$/.test(name));
        assert.deepEqual(top, OWN_FILES[driver]);
        if (!rootless) assert.equal(answers.get("uid"), String(VM_USER.uid));
      });
    }
  });
}

/** What of the host must be out of reach: another VM's files, bases, kilnd's socket, keys, processes. */
async function target(
  kiln: TestKiln,
  id: string,
  home: string,
): Promise<Pick<ProbeRequest, "paths" | "pids">> {
  const vm = join(kiln.root, "data/vms", id);
  const sockets = vmRunDirectory(join(kiln.root, "run"), id);
  // A jailed VMM's command line names no path of the host.
  const vmm = JSON.parse(await kiln.ok(["inspect", id]))[0].status.pid as number;
  assert.ok(vmm > 1, "a VMM runs");
  const pids = [...new Set([vmm, ...(await kiln.processes()).map(({ pid }) => pid)])];
  assert.ok(pids.length >= 2, "kilnd and a VMM run");
  return {
    paths: [
      // What root's kilnd would follow, if links could be planted there.
      ...["console.log", "console.log.1"].map((name) => join(vm, "vmm", name)),
      ...["channel.sock", "qmp.sock", "console.sock"].map((name) => join(sockets, name)),
      ...[kiln.root, vm, join(vm, "cow"), join(kiln.root, "data/bases"), join(kiln.root, "run/kiln.sock")],
      ...[
        home,
        join(home, ".ssh/id_ed25519"),
        "/etc/passwd",
        "/etc",
        "/root",
        "/home",
        "/tmp",
        "/var",
        "/run",
      ],
      ...["/proc/self", "/sys/kernel", "/dev/kvm", "/dev/shm", "/boot"],
    ],
    pids: [...pids, process.pid],
  };
}

// What the agent mounts in a guest that runs, and takes away: who uses it, how it grows, what an image may do to it.

import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import type { DiskSpec } from "../../src/vmm/index.js";
import { until } from "./agent-bench.js";
import { GUEST_ENV } from "./agent-guest-bench.js";
import {
  checkDisk,
  debugfs,
  finish,
  type Mount,
  MountBench,
  refused,
  sh,
  tmpfs,
  type WaitingGuest,
} from "./agent-guest-mount-bench.js";

const MIB = 1024 * 1024;

describe("agent: mounts of a guest that runs", { timeout: 900_000 }, () => {
  let bench: MountBench;
  let running: WaitingGuest;
  let disks: DiskSpec[];
  const attach = (mount: Mount) => running.guest.session.mountClient.attachMount({ mount });
  const detach = (id: string) => running.guest.session.mountClient.detachMount({ id });
  const inside = (script: string) => sh(running.guest, script);
  before(async () => {
    bench = await MountBench.open();
    disks = [
      await bench.volume("v", { "in/file": "text", "out/up": "" }),
      await bench.volume("grown"),
      await bench.volume("p"),
    ];
    debugfs(disks[0] as DiskSpec, "symlink link /etc");
    const file = await open((disks[1] as DiskSpec).path, "r+");
    await file.truncate(64 * MIB);
    await file.close();
    running = await bench.start(disks);
    await running.boot({ mounts: [tmpfs("boot", "/at/boot")] });
  });
  after(async () => {
    await finish(running.guest);
    for (const disk of disks) checkDisk(disk);
    await bench[Symbol.asyncDispose]();
  });

  it("come and go, and are named while something uses them", async () => {
    const { disk } = running;
    await attach(disk("v", "/a/v"));
    assert.equal(await inside("cat /a/v/in/file"), "text");
    await assert.rejects(
      attach(disk("v", "/b")),
      refused(Code.AlreadyExists, /v is mounted already, on \/a\/v/),
    );
    await assert.rejects(
      attach(tmpfs("over", "/a/v")),
      refused(Code.AlreadyExists, /\/a\/v is mounted there, as v/),
    );
    await assert.rejects(attach(tmpfs("over", "/a")), refused(Code.FailedPrecondition, /would be hidden/));
    const pid = await running.guest.session.workloads.start({
      id: "a".repeat(32),
      process: { args: ["sh", "-c", "exec sleep 1000 < /a/v/in/file"], env: GUEST_ENV },
    });
    await until(async () => (await inside(`cat /proc/${pid}/comm`)) === "sleep");
    await assert.rejects(
      detach("v"),
      refused(Code.FailedPrecondition, new RegExp(`^/a/v is in use by sleep \\(pid ${pid}\\)$`)),
    );
    assert.equal(await inside("cat /a/v/in/file"), "text");
    await attach(tmpfs("below", "/a/v/in"));
    await assert.rejects(
      detach("v"),
      refused(Code.FailedPrecondition, /in use by what is mounted on \/a\/v\/in/),
    );
    await detach("below");
    await inside(`kill ${pid}`);
    await until(async () => (await inside(`test -d /proc/${pid}/fd && ls /proc/${pid}/fd || true`)) === "");
    // Whose directory was renamed since.
    await inside("mv /a /moved");
    await detach("v");
    assert.equal(await inside("ls /moved/v; grep -c ext4 /proc/mounts"), "1");
    await assert.rejects(detach("v"), refused(Code.NotFound, /nothing is mounted as v/));
  });

  it("that somebody inside has taken away are neither listed nor missed", async () => {
    await attach(tmpfs("gone", "/gone"));
    await inside("umount /gone");
    const { mounts } = await running.guest.session.mountClient.listMounts({});
    assert.deepEqual(
      mounts.map(({ id }) => id),
      ["boot"],
    );
    await detach("gone");
  });

  it("grow with their disk at their mount, and when told", async () => {
    const { sizeBytes } = await attach(running.disk("grown", "/grown")).then(() =>
      running.guest.session.mountClient.growMount({ id: "grown", diskBytes: BigInt(64 * MIB) }),
    );
    assert.equal(sizeBytes, BigInt(64 * MIB));
    await inside("dd if=/dev/zero of=/grown/much bs=1048576 count=40");
    await assert.rejects(
      running.guest.session.mountClient.growMount({ id: "boot" }),
      refused(Code.FailedPrecondition, /grow \/at\/boot: it is no disk/),
    );
    await detach("grown");
  });

  it("are files where the source is one, and what links lead to inside the source and the root", async () => {
    const { disk } = running;
    await inside("ln -s ../../../../srv/real /link; mkdir -p /srv/real");
    await attach(disk("v", "/link/file", { mount: { subpath: "in/file" } }));
    assert.equal(await inside("cat /srv/real/file"), "text");
    await detach("v");
    // A link of the volume's to /etc is one to its own, which is not there.
    await attach(disk("v", "/x", { mount: { subpath: "link/made" } })).then(
      () => assert.fail("a link to nothing is no directory"),
      refused(Code.AlreadyExists, /find link\/made in it/),
    );
    await attach(disk("v", "/x", { mount: { subpath: "new/deep" } }));
    await inside("echo made > /x/here");
    await detach("v");
    await attach(disk("v", "/x"));
    assert.equal(
      await inside("cat /x/new/deep/here; ls /etc/made 2>&1 || true"),
      "made\nls: /etc/made: No such file or directory",
    );
    await detach("v");
  });

  it("never take from the guest what it needs, whatever its image has made of its paths", async () => {
    await inside(
      "ln -s / /root-link; ln -s /proc/self /self; ln -s /loop /loop; echo x > /plain; ln -s /sys/kernel /kernel; mknod /b b 7 0",
    );
    const bad: readonly (readonly [string, Code])[] = [
      ["/", Code.InvalidArgument],
      ["/..", Code.InvalidArgument],
      ["/root-link", Code.InvalidArgument],
      ["/proc", Code.InvalidArgument],
      ["/self/fd", Code.InvalidArgument],
      ["/kernel", Code.InvalidArgument],
      ["/dev", Code.InvalidArgument],
      ["/proc/self/cwd", Code.InvalidArgument],
      ["/loop", Code.FailedPrecondition],
      ["/plain", Code.FailedPrecondition],
      ["/plain/below", Code.FailedPrecondition],
      ["relative", Code.InvalidArgument],
    ];
    for (const [target, code] of bad) {
      await assert.rejects(attach(tmpfs("bad", target)), (error: unknown) => {
        const is = error instanceof ConnectError;
        assert.ok(is && error.code === code, `${target}: ${error}`);
        assert.doesNotMatch(error.rawMessage, /\n/);
        return true;
      });
    }
    const { disk } = running;
    await assert.rejects(
      attach(disk("p", "/plain", { node: true })),
      refused(Code.AlreadyExists, /something else/),
    );
    await assert.rejects(
      attach(disk("p", "/p", { filesystem: "xfs" })),
      refused(Code.InvalidArgument, /^mount \/p: the guest's kernel knows no file system xfs$/),
    );
    await attach(disk("p", "/b", { node: true }));
    await inside("mkdir /m; mount -t ext4 /b /m");
    await assert.rejects(detach("p"), refused(Code.FailedPrecondition, /\/b is in use by a mount on \/m/));
    await inside("umount /m");
    await detach("p");
    assert.equal(await inside("ls /b 2>&1 || true"), "ls: /b: No such file or directory");
    await attach(disk("p", "/found"));
    assert.match(await inside("grep ' /found ' /proc/mounts"), / ext4 rw/);
    await detach("p");
  });
});

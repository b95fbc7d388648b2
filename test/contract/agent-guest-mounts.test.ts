// What the agent of a real guest mounts before its program starts: disks, tmpfs, device nodes; a read-only root.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { EndAction, Mode } from "../../src/gen/kiln/agent/v1/machine_pb.js";
import type { DiskSpec } from "../../src/vmm/index.js";
import { run, until } from "./agent-bench.js";
import { GUEST_ENV } from "./agent-guest-bench.js";
import { checkDisk, debugfs, finish, MountBench, refused, sh, tmpfs } from "./agent-guest-mount-bench.js";

const MIB = 1024 * 1024;

describe("agent: mounts of a boot", { timeout: 900_000 }, () => {
  let bench: MountBench;
  before(async () => {
    bench = await MountBench.open();
  });
  after(() => bench[Symbol.asyncDispose]());

  it("are there before the program, in their order, and are whole after the end", async () => {
    const disks = [
      await bench.volume("a", { "data/sub/file": "volume's\n" }),
      await bench.volume("b"),
      await bench.volume("n"),
    ];
    const { guest, disk, boot } = await bench.start(disks);
    const { filled } = await boot(
      {
        mounts: [
          tmpfs("t", "/srv/deep/tmp", {
            sizeBytes: BigInt(MIB),
            mode: 0o750,
            uid: 1000,
            gid: 2000,
            noExec: true,
          }),
          disk("a", "/srv", { mount: { subpath: "data/sub" } }),
          disk("b", "/var/lib/b"),
          disk("n", "/dev/xvdn", { node: true }),
        ],
        hosts: [{ address: "10.1.1.1", names: ["one"] }],
      },
      "cat /srv/file > /var/lib/b/seen; while :; do sleep 1000; done",
    );
    assert.deepEqual(filled, []);
    // The shell makes the file before there is anything in it.
    await until(async () =>
      (await sh(guest, "cat /var/lib/b/seen 2>/dev/null || true")).includes("volume's"),
    );
    assert.equal(await sh(guest, "cat /var/lib/b/seen; ls /srv"), "volume's\ndeep\nfile");
    const mounts = await sh(guest, "grep -E ' /(srv|var)' /proc/mounts");
    assert.match(
      mounts,
      /^tmpfs \/srv\/deep\/tmp tmpfs rw,nosuid,nodev,noexec,.*size=1024k,mode=750,uid=1000,gid=2000/m,
    );
    assert.match(mounts, /^\/dev\/vd. \/srv ext4 rw/m);
    assert.match(await sh(guest, "ls -l /dev/xvdn; grep one /etc/hosts"), /^brw-rw----.*\n10\.1\.1\.1/);
    const { mounts: listed } = await guest.session.mountClient.listMounts({});
    assert.deepEqual(
      listed.map(({ id, target }) => [id, target]),
      [
        ["a", "/srv"],
        ["t", "/srv/deep/tmp"],
        ["b", "/var/lib/b"],
        ["n", "/dev/xvdn"],
      ],
    );
    await finish(guest);
    for (const disk of disks) checkDisk(disk);
    assert.match(debugfs(disks[1] as DiskSpec, "cat /seen"), /^volume's/);
  });

  it("are filled once from the image, with all that a file has, however often that is asked", async () => {
    const persistent = await bench.cow();
    const [whole, cut] = [await bench.volume("whole"), await bench.volume("cut", { "half/made": "" })];
    // As a guest leaves it that is killed while it fills.
    debugfs(cut, "ea_set / trusted.kiln.fill begun");
    {
      const { guest, boot } = await bench.start([], persistent);
      const script = `
        mkdir -p /seed/sub; cd /seed; echo text > one; chown 1000:2000 one; chmod 4751 one; ln one sub/two
        ln -s /etc/shadow away; mknod null c 1 3; mkfifo pipe; chmod 1770 sub
        dd if=/dev/zero of=holes bs=1 count=1 seek=100000000; touch -t 200109090146.40 one sub; touch -t 201001010000 .
        chown 7:8 .; chmod 0711 .`;
      await boot({}, script.trim());
      assert.equal((await finish(guest, 0))?.code, 0);
    }
    const looks =
      "cd /data; stat -c '%n %a %u:%g %h %Y %F' . one sub away null pipe; stat -c %s holes; du=$(stat -c %b holes); test $du -lt 100; cat sub/two";
    for (const round of [1, 2]) {
      const { guest, disk, boot } = await bench.start([whole, cut], persistent);
      const { filled } = await boot({
        mounts: [disk("whole", "/data", { fill: true }), disk("cut", "/seed", { fill: true })],
      });
      assert.deepEqual([...filled].sort(), ["cut", "whole"]);
      if (round === 1) {
        // /data is not in the image: there is nothing to be filled with, but for what follows.
        assert.equal(await sh(guest, "ls /data"), "lost+found");
        const seen = await sh(guest, looks.replace("/data", "/seed"));
        assert.match(seen, /^\. 711 7:8 4 1262304000 directory$/m);
        assert.match(seen, /^one 4751 1000:2000 2 1000000000 regular file$/m);
        assert.match(seen, /^sub 1770 0:0 2 1000000000 directory$/m);
        assert.match(seen, /^away 777 0:0 1 \d+ symbolic link$/m);
        assert.match(seen, /^null \d+ 0:0 1 \d+ character special file$/m);
        assert.match(seen, /^pipe \d+ 0:0 1 \d+ fifo$/m);
        assert.match(seen, /\n100000001\ntext$/);
        assert.equal(
          await sh(guest, "ls /seed/half 2>&1 || true; rm /seed/one; echo mine > /seed/new"),
          "ls: /seed/half: No such file or directory",
        );
      } else {
        assert.equal(await sh(guest, "ls /seed | tr '\\n' ' '"), "away holes lost+found new null pipe sub");
      }
      await finish(guest);
    }
    checkDisk(whole);
    checkDisk(cut);
  });

  it("leave a root that nobody writes to, with what kiln and its user put there before", async () => {
    const [data, image] = [await bench.volume("data"), await bench.volume("image", { hello: "read me\n" })];
    const { guest, disk, boot } = await bench.start([data, { ...image, readOnly: true }]);
    const process = {
      args: ["sh", "-c", "ulimit -n; ulimit -Hn; pwd; while :; do sleep 1000; done"],
      env: GUEST_ENV,
    };
    const answer = await boot({
      ...{ readOnlyRoot: true, shmBytes: BigInt(2 * MIB), hold: true },
      mounts: [disk("data", "/new/data"), disk("image", "/image", { mount: { readOnly: true } })],
      process: {
        ...process,
        workdir: "/made/for/it",
        rlimits: [{ name: "nofile", soft: 99n, hard: 2n ** 64n - 1n }],
      },
    });
    assert.equal(answer.held, true);
    const tar = execFileSync("tar", ["-cf", "-", "-C", image.path.replace(".ext4", ".tree"), "hello"]);
    await guest.session.client.writeArchive(
      (async function* () {
        yield { message: { case: "start" as const, value: { directory: "/etc" } } };
        yield { message: { case: "data" as const, value: tar } };
      })(),
    );
    await guest.session.client.startProgram({});
    const writes = await sh(
      guest,
      "for at in /etc /run /tmp /image /new /new/data /dev/shm; do (: > $at/x) 2> /dev/null && echo $at; done; true",
    );
    assert.equal(writes, "/new/data\n/dev/shm");
    assert.equal(
      await sh(guest, "cat /etc/hello /image/hello; hostname; cat /etc/hostname"),
      "read me\nread me\nguest\nguest",
    );
    assert.match(await sh(guest, "grep ' /dev/shm ' /proc/mounts"), /size=2048k/);
    const limit = {
      spec: { env: GUEST_ENV, rlimits: [{ name: "core", soft: 5n * 1024n, hard: 2n ** 64n - 1n }] },
    };
    const { stdout } = await run(guest.session, ["sh", "-c", "ulimit -c; ulimit -Hc"], limit);
    assert.match(stdout, /^\d+\nunlimited$/m);
    let logged = "";
    for await (const { data } of guest.session.client.logs({})) {
      logged += Buffer.from(data).toString();
      if (logged.includes("/")) break;
    }
    assert.match(logged, /^99\n1048576\n\/made\/for\/it/);
    await finish(guest);
    checkDisk(data);
  });

  it("end the boot where one can't be made, in one line", async () => {
    const dirty = await bench.volume("dirty");
    debugfs(dirty, "feature needs_recovery");
    const { guest, disk, boot } = await bench.start([{ ...dirty, readOnly: true }]);
    await assert.rejects(
      boot({ mounts: [tmpfs("t", "/t"), disk("dirty", "/data", { mount: { readOnly: true } })] }),
      refused(Code.FailedPrecondition, /^mount \/data: it was not unmounted in order[^\n]*$/),
    );
    assert.equal((await finish(guest, 0))?.code, 125);
  });

  it("are an init's own from the start, and stay through its set-up", async () => {
    const disks = [await bench.volume("early", { file: "there\n" }), await bench.volume("late")];
    const { guest, disk, boot } = await bench.start(disks);
    const { pid } = await boot({
      mode: Mode.SYSTEM,
      endAction: EndAction.POWEROFF,
      process: { args: ["/sbin/init"], env: GUEST_ENV, rlimits: [{ name: "nproc", soft: 77n, hard: 78n }] },
      mounts: [disk("early", "/run/v"), tmpfs("t", "/etc/t")],
    });
    assert.equal(pid, 1);
    await until(async () => (await sh(guest, "cat /proc/1/cmdline | tr '\\0' ' '")).includes("init"));
    assert.match(
      await sh(guest, "cat /proc/1/root/run/v/file; grep processes /proc/1/limits"),
      /^there\n.* 77 +78 /,
    );
    await guest.session.mountClient.attachMount({ mount: disk("late", "/late", { fill: true }) });
    assert.match(await sh(guest, "cat /proc/1/mounts"), / \/late ext4 rw/);
    await guest.session.mountClient.detachMount({ id: "late" });
    await guest.session.client.stop({ timeoutMs: 60_000 });
    assert.equal((await finish(guest, 0))?.code, 0);
    for (const disk of disks) checkDisk(disk);
  });
});

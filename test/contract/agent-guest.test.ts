// The agent as PID 1 of a real guest: the root it builds, the machine it sets up, the ends it comes to.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pumpLogs } from "../../src/agent/index.js";
import { deferred } from "../../src/base/runtime.js";
import { GuestRequest } from "../../src/gen/kiln/agent/v1/common_pb.js";
import { EndAction, Mode } from "../../src/gen/kiln/agent/v1/machine_pb.js";
import { run, until } from "./agent-bench.js";
import { GUEST_ENV, type Guest, GuestBench } from "./agent-guest-bench.js";

const SPEC = { env: GUEST_ENV };

async function output(guest: Guest, script: string, spec: object = {}): Promise<string> {
  const { stdout, stderr, exit } = await run(guest.session, ["sh", "-c", script], {
    spec: { ...SPEC, ...spec },
  });
  assert.equal(exit?.code, 0, `${script}: ${stderr} ${exit?.error}`);
  return stdout.trimEnd();
}

/** Acknowledges the exit and waits for the machine's end. */
async function finish(guest: Guest) {
  const { exit } = await guest.session.client.wait({});
  // The answer may be lost: the machine ends behind it.
  await guest.session.client.ackExit({}).catch(() => undefined);
  return { exit, machine: await guest.handle.exited };
}

describe("agent: guest", { timeout: 600_000 }, () => {
  let bench: GuestBench;
  before(async () => {
    bench = await GuestBench.open();
  });
  after(() => bench[Symbol.asyncDispose]());

  describe("in app mode", () => {
    let guest: Guest;
    const now = Date.now();
    before(async () => {
      guest = await bench.start(await bench.cow());
      const counter = "i=0; while :; do i=$((i+1)); echo $i; done";
      const { pid, timings } = await guest.boot(
        { args: ["sh", "-c", counter] },
        {
          hosts: [{ address: "10.1.2.3", names: ["db", "db.local"] }],
          dns: { servers: ["10.0.2.3"], search: ["example"] },
          sysctls: { "net.ipv4.ip_forward": "1" },
          clockUnixNs: BigInt(now) * 1_000_000n,
          entropy: new Uint8Array(64),
        },
      );
      assert.ok(pid > 1);
      const { initUs = 0n, modulesUs = 0n, helloUs = 0n, rootUs = 0n, startedUs = 0n } = timings ?? {};
      assert.ok(0n < initUs && initUs < modulesUs && modulesUs < helloUs);
      assert.ok(helloUs < rootUs && rootUs < startedUs);
    });

    it("mounts what programs expect", async () => {
      const mounts = await output(guest, "cat /proc/mounts");
      for (const line of [
        /^\/dev\/dm-0 \/ ext4 rw/m,
        /^proc \/proc /m,
        /^devpts \/dev\/pts /m,
        / \/dev\/shm /,
        /cgroup2/,
      ]) {
        assert.match(mounts, line);
      }
      assert.equal(await output(guest, "readlink /dev/fd; test -w /dev/shm && echo ok"), "/proc/self/fd\nok");
    });

    it("leaves the image's /run as it is", async () => {
      assert.equal(await output(guest, "test -d /run/kept && ls /var/run"), "kept");
    });

    it("lays hosts, host name and resolver over the image's", async () => {
      assert.equal(await output(guest, "hostname; cat /etc/hostname"), "guest\nguest");
      const hosts = await output(guest, "cat /etc/hosts");
      assert.match(hosts, /^127\.0\.0\.1\tlocalhost$/m);
      assert.match(hosts, /^127\.0\.1\.1\tguest$/m);
      assert.match(hosts, /^10\.1\.2\.3\tdb db\.local$/m);
      assert.equal(await output(guest, "cat /etc/resolv.conf"), "nameserver 10.0.2.3\nsearch example");
    });

    it("changes the resolver of a running guest", async () => {
      await guest.session.client.configureNetwork({ dns: { servers: ["10.9.9.9"] } });
      assert.equal(await output(guest, "cat /etc/resolv.conf"), "nameserver 10.9.9.9");
    });

    it("sets kernel settings, loopback and the clock", async () => {
      assert.equal(await output(guest, "cat /proc/sys/net/ipv4/ip_forward"), "1");
      assert.equal(await output(guest, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "0");
      assert.match(await output(guest, "ip addr show lo"), /inet 127\.0\.0\.1\/8/);
      const guestMs = Number(await output(guest, "date +%s")) * 1000;
      assert.ok(guestMs >= now - 1000 && guestMs <= Date.now() + 60_000, `guest ${guestMs}, host ${now}`);
    });

    it("runs the program beside PID 1, in a cgroup of its own", async () => {
      assert.equal(await output(guest, "cat /proc/1/comm"), "init");
      assert.match(await output(guest, "cat /sys/fs/cgroup/main/cgroup.procs"), /^\d+$/);
      assert.equal(await output(guest, "cat /proc/self/cgroup"), "0::/exec");
      assert.match(await output(guest, "cat /sys/fs/cgroup/main/cgroup.controllers"), /memory/);
    });

    it("runs execs as the user asked for", async () => {
      assert.match(
        await output(guest, "id; echo $HOME", { user: "app" }),
        /^uid=1000\(app\) gid=1000\(app\) groups=.*2000.*\n\/home\/app$/,
      );
      assert.match(await output(guest, "id", { user: "4000:5000" }), /^uid=4000 gid=5000/);
      assert.equal(await output(guest, "echo ok > /dev/stdout", { user: "app" }), "ok");
    });

    it("gives programs ordinary limits and no protection from the OOM killer", async () => {
      assert.equal(await output(guest, "ulimit -n; cat /proc/self/oom_score_adj"), "1024\n0");
    });

    it("reports what the guest uses", async () => {
      const stats = await guest.session.client.stats({});
      assert.ok(stats.memoryTotalBytes > 100n << 20n && stats.memoryAvailableBytes < stats.memoryTotalBytes);
      assert.ok(stats.cpuUserUs > 0n && stats.blockReadBytes > 0n && stats.rootTotalBytes > 0n);
      assert.ok(stats.processes >= 2);
    });

    it("gives what a file without an end has now", async () => {
      const pieces: Uint8Array[] = [];
      for await (const { data } of guest.session.client.readArchive({ path: "/proc/kmsg" }))
        pieces.push(data);
      assert.match(Buffer.concat(pieces).toString("latin1"), /Linux version/);
    });

    it("goes on counting without gap or repeat while hosts come and go", async () => {
      let stored = Buffer.alloc(0);
      for (let round = 1; round <= 5; round++) {
        const enough = deferred<void>();
        const pumped = pumpLogs(guest.session.workloads.main, BigInt(stored.length), async (chunks) => {
          stored = Buffer.concat([stored, ...chunks.map((chunk) => chunk.data)]);
          if (stored.length > round * 200_000) enough.resolve();
        }).catch(() => undefined);
        await enough.promise;
        await guest.connect();
        await pumped;
      }
      const lines = stored.toString().split("\n").slice(0, -1);
      for (const [index, line] of lines.entries()) assert.equal(line, String(index + 1));
    });

    it("survives a pause, sessions and all", async () => {
      await guest.handle.pause();
      await guest.handle.resume();
      assert.equal(await output(guest, "echo awake"), "awake");
    });

    it("finds its new host when the old one vanished while the guest was paused", async () => {
      await guest.handle.pause();
      const connecting = guest.connect();
      await guest.handle.resume();
      await connecting;
      assert.equal(await output(guest, "echo back"), "back");
    });

    it("ends the machine once the exit is acknowledged", async () => {
      await guest.session.client.stop({ signal: 9, timeoutMs: 60_000 });
      const { exit, machine } = await finish(guest);
      assert.deepEqual([exit?.code, exit?.signal, exit?.oomKilled], [137, 9, false]);
      assert.equal(machine.cause, "guest-shutdown");
    });
  });

  it("keeps what was written on a persistent cow, and only there", async () => {
    const cow = await bench.cow();
    const boot = async (persistent: boolean, script: string) => {
      const guest = await bench.start(cow);
      const root = { baseDevice: "/dev/vda", cowDevice: "/dev/vdb", persistent, chunkSectors: 128 };
      await guest.boot({ args: ["sh", "-c", script] }, { root });
      return (await finish(guest)).exit?.code;
    };
    assert.equal(await boot(true, "echo kept > /etc/kept"), 0);
    assert.equal(await boot(true, 'test "$(cat /etc/kept)" = kept'), 0);
    assert.equal(await boot(false, "test ! -e /etc/kept && touch /etc/lost"), 0);
  });

  it("finds its root by serial, behind more disks than one bus takes and whatever the devices are called", async () => {
    const guest = await bench.start(await bench.cow(), 256 << 20, await bench.fillers(28));
    const { disks } = guest.handle;
    const root = {
      // Other disks than those that are meant.
      ...{ baseDevice: "/dev/vda", cowDevice: "/dev/vdb", persistent: true, chunkSectors: 128 },
      ...{ baseSerial: disks.get("base") ?? "", cowSerial: disks.get("cow") ?? "" },
    };
    await guest.boot({ args: ["sh", "-c", "test -d /run/kept && echo there > /etc/new"] }, { root });
    assert.equal((await finish(guest)).exit?.code, 0);
  });

  it("tells a kill for want of memory from any other", async () => {
    const guest = await bench.start(await bench.cow(), 128 << 20);
    await guest.boot({ args: ["sh", "-c", "tail /dev/zero"] });
    const { exit } = await finish(guest);
    assert.equal(exit?.oomKilled, true, JSON.stringify(exit?.error));
  });

  it("gives each program beside the main one a cgroup: its own end for want of memory, and an end of all of it", async () => {
    const guest = await bench.start(await bench.cow(), 128 << 20);
    const { workloads } = guest.session;
    await guest.boot({ args: ["sleep", "10000"] });
    const start = async (digit: string, script: string) => {
      const id = digit.repeat(40);
      const process = { args: ["sh", "-c", script], env: GUEST_ENV };
      assert.ok((await workloads.start({ id, process })) > 1);
      return { id, group: `/sys/fs/cgroup/w-${id}`, ...workloads.get(id) };
    };
    const lines = async (path: string) => (await output(guest, `cat ${path}`)).split("\n").filter(Boolean);

    const greedy = await start("a", "tail /dev/zero; exit $?");
    const forking = await start("b", "setsid sleep 10000 & trap '' TERM; while :; do sleep 1; done");
    const exit = await greedy.wait();
    assert.deepEqual([exit?.code, exit?.oomKilled], [137, true]);
    await until(async () => (await lines(`${forking.group}/cgroup.procs`)).length >= 3);
    assert.deepEqual(await lines(`/proc/$(head -n 1 ${forking.group}/cgroup.procs)/cgroup`), [
      `0::/w-${forking.id}`,
    ]);
    await forking.stop(15, 1);
    assert.deepEqual(await forking.wait().then((end) => [end?.signal, end?.oomKilled]), [9, false]);
    // What had forked away: the main program's is left.
    await until(async () => (await output(guest, "ps -o args")).split("sleep 10000").length === 2);
    for (const { id } of [greedy, forking]) await workloads.forget(id);
    const last = await start("c", "trap '' TERM HUP; while :; do sleep 1; done");
    assert.equal(await output(guest, "cd /sys/fs/cgroup; echo w-*"), `w-${last.id}`);
    await guest.session.workloads.main.stop(9, 60_000);
    const { exit: ended, machine } = await finish(guest);
    assert.deepEqual([ended?.code, ended?.oomKilled, machine.cause], [137, false, "guest-shutdown"]);
  });

  it("takes a reboot inside for an orderly end that asks for another start", async () => {
    const guest = await bench.start(await bench.cow());
    const script = "trap 'exit 3' QUIT; (sleep 0.2; reboot) & while :; do sleep 0.05; done";
    await guest.boot(
      { args: ["sh", "-c", script] },
      { stopSignal: 3, stopTimeoutMs: 60_000, endAction: EndAction.RESTART },
    );
    const { exit, machine } = await finish(guest);
    assert.deepEqual([exit?.code, exit?.request], [3, GuestRequest.REBOOT]);
    assert.equal(machine.cause, "guest-reset");
  });

  it("takes a poweroff inside for an end", async () => {
    const guest = await bench.start(await bench.cow());
    await guest.boot({ args: ["sh", "-c", "trap 'exit 0' TERM; poweroff; while :; do sleep 0.05; done"] });
    const { exit, machine } = await finish(guest);
    assert.deepEqual([exit?.code, exit?.request], [0, GuestRequest.POWEROFF]);
    assert.equal(machine.cause, "guest-shutdown");
  });

  it("ends in order where the program is not there", async () => {
    const guest = await bench.start(await bench.cow());
    assert.equal((await guest.boot({ args: ["nothing"] })).pid, 0);
    const { exit, machine } = await finish(guest);
    assert.equal(exit?.code, 127);
    assert.equal(machine.cause, "guest-shutdown");
  });

  it("says what is wrong with a root, and ends when told", async () => {
    const guest = await bench.start(await bench.cow());
    const root = { baseDevice: "/dev/vdb", cowDevice: "" };
    await assert.rejects(guest.boot({ args: ["true"] }, { root }), /mount the root from \/dev\/vdb/);
    const { exit } = await finish(guest);
    assert.equal(exit?.code, 125);
  });

  it("holds for files that come before an init, and goes on serving files beside it", async () => {
    const guest = await bench.start(await bench.cow());
    const { client } = guest.session;
    const { held } = await guest.boot({ args: ["/sbin/init"] }, { mode: Mode.SYSTEM, hold: true });
    assert.equal(held, true);
    await assert.rejects(client.statPath({ path: "/etc/early" }), /No such file/);
    await writeFile(join(bench.root, "early"), "early");
    const tar = execFileSync("tar", ["-cf", "-", "-C", bench.root, "early"]);
    await client.writeArchive(
      (async function* () {
        yield { message: { case: "start" as const, value: { directory: "/etc" } } };
        yield { message: { case: "data" as const, value: tar } };
      })(),
    );
    await client.sync({});
    assert.equal((await client.startProgram({})).pid, 1);
    // The agent's threads of before are not this process's: a call that counted on one would never end.
    assert.equal((await client.statPath({ path: "/etc/early" }, { timeoutMs: 60_000 })).size, 5n);
    assert.equal(await output(guest, "cat /etc/early"), "early");
    await client.stop({ timeoutMs: 60_000 });
    assert.equal((await finish(guest)).exit?.code, 0);
  });

  it("hands over to an init that knows nothing of kiln, and learns of its end", async () => {
    const guest = await bench.start(await bench.cow());
    const system = { mode: Mode.SYSTEM, dns: { servers: ["10.0.2.3"] } };
    assert.equal((await guest.boot({ args: ["/sbin/init"] }, system)).pid, 1);
    await until(async () => (await output(guest, "cat /proc/1/cmdline | tr '\\0' ' '")).includes("init"));
    assert.match(await output(guest, "cat /proc/mounts"), / \/run tmpfs /);
    // The files of /etc are the init's own: hostnamectl and resolvconf replace them by a rename.
    for (const [path, was] of [
      ["/etc/hostname", /^guest$/m],
      ["/etc/hosts", /^127\.0\.1\.1\tguest$/m],
      ["/run/kept/resolv.conf", /^nameserver 10\.0\.2\.3$/m],
    ] as const) {
      const replace = `cat ${path} && echo new > ${path}.new && mv ${path}.new ${path} && cat ${path}`;
      assert.match(await output(guest, replace), was);
      assert.equal(await output(guest, `cat ${path}`), "new");
    }
    await guest.session.client.configureNetwork({ dns: { servers: ["10.9.9.9"] } });
    assert.equal(await output(guest, "cat /etc/resolv.conf"), "new", "who has replaced it is in charge");
    await guest.session.client.stop({ timeoutMs: 60_000 });
    const { exit, machine } = await finish(guest);
    assert.equal(exit?.code, 0);
    assert.equal(machine.cause, "guest-shutdown");
  });
});

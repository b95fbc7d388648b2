// Shared directories among the mounts of a real guest: at its boot, beside an init, attached and taken away, and at its end.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Code } from "@connectrpc/connect";
import { Mode } from "../../src/gen/kiln/agent/v1/machine_pb.js";
import { until } from "./agent-bench.js";
import { GUEST_ENV, type Guest } from "./agent-guest-bench.js";
import { finish, type Mount, MountBench, refused, sh, tmpfs } from "./agent-guest-mount-bench.js";
import { ShareBench } from "./share-bench.js";

function share(guest: Guest, id: string, target: string, value: object = {}, mount: Mount = {}): Mount {
  const port = guest.handle.ports.get(id)?.guest;
  assert.ok(port !== undefined && "port" in port);
  return { id, target, ...mount, source: { case: "share", value: { port: port.port, ...value } } };
}

function server(guest: Guest, id: string): Promise<ShareBench> {
  const port = guest.handle.ports.get(id);
  assert.ok(port !== undefined && "socket" in port);
  return ShareBench.open({ socket: port.socket });
}

const bridges = (guest: Guest) => sh(guest, "ps -o args | grep -c '@kiln-sh[a]re' || true").then(Number);

describe("agent: shares among its mounts", { timeout: 900_000 }, () => {
  let bench: MountBench;
  before(async () => {
    bench = await MountBench.open();
  });
  after(() => bench[Symbol.asyncDispose]());

  it("are there before the program and after it, with all that was written", async () => {
    const { guest, boot } = await bench.start([], undefined, ["data", "conf"]);
    await using data = await server(guest, "data");
    await using conf = await server(guest, "conf");
    await writeFile(join(conf.root, "a.conf"), "setting\n");
    await writeFile(join(conf.root, "secret"), "");
    await boot(
      {
        mounts: [
          tmpfs("t", "/srv/data/tmp"),
          share(guest, "data", "/srv/data", {}, { subpath: "deep/sub" }),
          share(guest, "conf", "/etc/a.conf", { file: "a.conf" }, { readOnly: true }),
        ],
      },
      "cat /etc/a.conf > /srv/data/seen; trap 'echo last > /srv/data/last; exit 0' TERM; while :; do sleep 0.1; done",
    );
    // The shell makes the file before there is anything in it.
    await until(async () => (await sh(guest, "cat /srv/data/seen 2>/dev/null || true")).includes("setting"));
    assert.equal(await readFile(join(data.root, "deep/sub/seen"), "utf8"), "setting\n");
    assert.match(await sh(guest, "cat /proc/mounts"), / \/srv\/data 9p rw.*\n(.*\n)*.* \/etc\/a\.conf 9p ro/);
    const states = async () =>
      (await guest.session.mountClient.listMounts({})).mounts.map(({ id, away }) => [id, away]);
    assert.deepEqual(await states(), [
      ["data", false],
      ["t", false],
      ["conf", false],
    ]);
    await data.kill();
    await until(async () => (await states())[0]?.[1] === true);
    data.start();
    await until(async () => (await states())[0]?.[1] === false);
    // Its program ends as always, and everything else with it, before the share goes.
    assert.equal((await finish(guest, 15))?.code, 0);
    assert.equal(await readFile(join(data.root, "deep/sub/last"), "utf8"), "last\n");
  });

  it("end with their guest though no server is there", async () => {
    const { guest, boot } = await bench.start([], undefined, ["data"]);
    await using data = await server(guest, "data");
    await boot({ mounts: [share(guest, "data", "/data")] });
    await data.kill();
    assert.equal((await finish(guest))?.signal, 9);
  });

  it("come and go in a guest that runs, and leave no bridge", async () => {
    const { guest, boot } = await bench.start([], undefined, ["data"]);
    await using data = await server(guest, "data");
    await boot({});
    const attach = (mount: Mount) => guest.session.mountClient.attachMount({ mount });
    await assert.rejects(
      attach(share(guest, "data", "/x", {}, { subpath: "not/there", readOnly: true })),
      refused(Code.NotFound, /^mount \/x: find not\/there in it/),
    );
    await until(async () => (await bridges(guest)) === 0);
    await attach(share(guest, "data", "/data"));
    assert.equal(await bridges(guest), 1);
    const pid = await guest.session.workloads.start({
      id: "b".repeat(32),
      process: { args: ["sh", "-c", "cd /data; exec sleep 1000"], env: GUEST_ENV },
    });
    await until(async () => (await sh(guest, `readlink /proc/${pid}/cwd`)) === "/data");
    const detach = () => guest.session.mountClient.detachMount({ id: "data" });
    await assert.rejects(
      detach(),
      refused(Code.FailedPrecondition, /^\/data is in use by s\S+ \(pid \d+\)$/),
    );
    await sh(guest, `echo text > /data/file; kill ${pid}`);
    await until(async () => (await sh(guest, `ls /proc/${pid}/fd 2>/dev/null || true`)) === "");
    await detach();
    assert.equal(await readFile(join(data.root, "file"), "utf8"), "text\n");
    await until(async () => (await bridges(guest)) === 0);
    // The same port again.
    await attach(share(guest, "data", "/data"));
    assert.equal(await sh(guest, "cat /data/file"), "text");
    await data.kill();
    await detach();
    await finish(guest);
  });

  it("are there before an init, and outlive its start", async () => {
    const { guest, boot } = await bench.start([], undefined, ["data"]);
    await using data = await server(guest, "data");
    await writeFile(join(data.root, "early"), "early\n");
    const init = { args: ["/sbin/init"], env: GUEST_ENV };
    await boot({ mode: Mode.SYSTEM, process: init, mounts: [share(guest, "data", "/data")] });
    await until(async () => (await sh(guest, "cat /proc/1/cmdline | tr '\\0' ' '")).includes("init"));
    assert.equal(await sh(guest, "cat /proc/1/root/data/early; echo late > /data/late"), "early");
    assert.equal(await readFile(join(data.root, "late"), "utf8"), "late\n");
    await guest.session.client.stop({ timeoutMs: 60_000 });
    assert.equal((await finish(guest, 0))?.code, 0);
  });
});

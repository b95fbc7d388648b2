// Real programs from their images, with published ports, answering real clients; and Debian with systemd, which also
// runs the units of packaging/.

import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, it } from "node:test";
import { debianLayout } from "../fixtures/assets.js";
import { eventually, run, TestKiln } from "./harness.js";
import { PackagedUnits } from "./packaged-units.js";
import { systemdIsRunning } from "./systemd-guest.js";

let kiln: TestKiln;
before(async () => {
  kiln = await TestKiln.start();
});
after(() => kiln.dispose());

/** host and port of a published port, as `kiln port` tells them. */
async function published(vm: string, port: string): Promise<{ host: string; port: number }> {
  const line = (await kiln.ok(["port", vm, port])).trim();
  const match = /^(.*):(\d+)$/.exec(line);
  assert.ok(match, `kiln port prints address:port, not "${line}"`);
  return { host: match[1] ?? "", port: Number(match[2]) };
}

function get(address: { host: string; port: number }, path = "/"): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...address, path, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
      );
    });
    asked.on("error", reject);
    asked.end();
  });
}

async function exitOf(vm: string): Promise<{ state: string; exitCode: number }> {
  const [seen] = JSON.parse(await kiln.ok(["inspect", vm])) as {
    status: { state: string; exitCode?: number; message?: string };
  }[];
  assert.ok(seen);
  return { state: seen.status.state, exitCode: seen.status.exitCode ?? 0 };
}

describe("app mode", () => {
  it("serves nginx's page on a published port and ends it with the image's stop signal", async () => {
    await kiln.ok(["run", "-d", "--name", "web", "-p", "127.0.0.1:0:80", debianLayout("nginx")]);
    const address = await published("web", "80");
    const answer = await eventually("nginx answers", () => get(address).catch(() => undefined));
    assert.equal(answer.status, 200);
    assert.match(answer.body, /Welcome to nginx/);
    await kiln.ok(["stop", "web"]);
    assert.deepEqual(await exitOf("web"), { state: "exited", exitCode: 0 });
  });

  it("answers psql on a published port, and keeps what was written over a restart", async () => {
    await kiln.ok(["run", "-d", "--name", "db", "-p", "127.0.0.1:0:5432", debianLayout("postgres")]);
    const sql = async (text: string) => {
      const { host, port } = await published("db", "5432");
      return run(["psql", "-h", host, "-p", String(port), "-U", "postgres", "-Atc", text]);
    };
    const ready = async () => ((await sql("select 1")).code === 0 ? true : undefined);
    await eventually("PostgreSQL answers", ready, 120_000);
    const made = await sql("create table kept as select generate_series(1, 1000) as n");
    assert.equal(made.code, 0, made.stderr);
    await kiln.ok(["restart", "db"]);
    await eventually("PostgreSQL answers again", ready, 120_000);
    assert.equal((await sql("select sum(n) from kept")).stdout.trim(), "500500");
    await kiln.ok(["stop", "db"]);
    assert.deepEqual(await exitOf("db"), { state: "exited", exitCode: 0 });
  });

  it("runs a Node program with the image's entrypoint and the user's arguments", async () => {
    const program =
      'require("http").createServer((q, s) => s.end(process.env.GREETING + " from " + q.url)).listen(8080)';
    const image = debianLayout("node");
    const flags = ["-d", "--name", "js", "-e", "GREETING=hello", "-p", "127.0.0.1:0:8080"];
    await kiln.ok(["run", ...flags, image, "-e", program]);
    const address = await published("js", "8080");
    const answer = await eventually("the program answers", () => get(address, "/x").catch(() => undefined));
    assert.equal(answer.body, "hello from /x");
  });
});

describe("system mode", () => {
  before(() => kiln.ok(["run", "-d", "--name", "sys", "-m", "1g", debianLayout("systemd")]));

  it("brings Debian's systemd up", async () => {
    await systemdIsRunning(kiln, "sys");
    assert.equal((await kiln.ok(["exec", "sys", "cat", "/proc/1/comm"])).trim(), "systemd");
    await kiln.ok(["exec", "sys", "sh", "-c", "echo kept > /root/kept"]);
  });

  it("lets it rename the machine until the next start", async () => {
    await kiln.ok(["exec", "sys", "hostnamectl", "set-hostname", "renamed"]);
    assert.equal(
      await kiln.ok(["exec", "sys", "sh", "-c", "hostname; cat /etc/hostname"]),
      "renamed\nrenamed\n",
    );
  });

  // Here because this VM is up, and is about to be shut down.
  const units = new PackagedUnits(() => kiln, "sys");
  const skip =
    process.env.KILN_VMM === "firecracker" && "units don't know their host's VMM: shown under QEMU";
  describe("with the units of packaging/", { skip }, () => {
    before(() => units.install());

    it("limits each VM by a cgroup that is not kilnd's, and leaves it to the host's OOM killer as any other", async () => {
      const [pid = ""] = await units.runVms("first");
      const place = "/kiln.slice/kiln-cgroups.service/kiln-vm-first";
      const seen = await units.sh(`
        cat /proc/${pid}/cgroup /proc/${pid}/oom_score_adj /sys/fs/cgroup${place}/memory.max
        stat -c '%a %G' /run/kiln/kiln.sock
      `);
      assert.deepEqual(seen.split("\n"), [`0::${place}`, "0", String(64 << 20), "660 kiln"]);
    });

    it("leaves VMs alone when kilnd is stopped, restarted or killed, and the next one finds them again", async () => {
      const pids = await units.runVms("second", "third");
      await units.journal();
      await units.sh("systemctl stop kilnd.service");
      assert.deepEqual(await units.alive(pids), pids);
      assert.deepEqual(await units.listed(), ["first", "second", "third"], "its socket has started it");
      await units.sh("systemctl restart kilnd.service");
      assert.deepEqual(await units.listed(), ["first", "second", "third"]);
      await units.sh("systemctl kill --signal=KILL kilnd.service");
      assert.deepEqual(await units.listed(), ["first", "second", "third"]);
      assert.deepEqual(await units.alive(pids), pids);
      const found = ["found first again", "found second again", "found third again", "kilnd is up"];
      assert.deepEqual(await units.journal(), ["kilnd ends", ...found, "kilnd ends", ...found, ...found]);
    });

    it("ends VMs in order, then kilnd, when the slice is stopped", async () => {
      await units.sh("systemctl stop kiln.slice");
      const stopped = ["first", "second", "third"].map((name) => `${name} was stopped`);
      assert.deepEqual(await units.journal(), [...stopped, "kilnd ends"]);
      assert.equal(await units.sh("ls -d /sys/fs/cgroup/kiln.slice 2> /dev/null || true"), "");
    });

    it("ends VMs with the slice also where no kilnd runs, and starts none for it", async () => {
      await units.sh("systemctl start kilnd.service");
      const pids = await units.runVms("orphan");
      await units.sh("systemctl stop kilnd.service; systemctl stop kiln.slice");
      assert.deepEqual(await units.alive(pids), []);
      assert.equal(await units.sh("systemctl is-active kilnd.service || true"), "inactive");
      assert.deepEqual(await units.listed(), []);
      assert.deepEqual(await units.journal(), ["kilnd is up", "kilnd ends", "orphan is gone", "kilnd is up"]);
    });
  });

  describe("with the units of packaging/ for a user's own manager", { skip }, () => {
    const KILN = "kiln --host unix://$XDG_RUNTIME_DIR/kiln/kiln.sock";
    before(() => units.installForUser());

    it("starts kilnd by its socket, limits VMs, and leaves them alone when kilnd is killed", async () => {
      const [name, pid = ""] = (await units.shAsUser(`${KILN} run mine`)).split(" ");
      assert.equal(name, "mine");
      const place =
        "/user.slice/user-4321.slice/user@4321.service/kiln.slice/kiln-cgroups.service/kiln-vm-mine";
      const seen = await units.shAsUser(`
        cat /proc/${pid}/cgroup /sys/fs/cgroup${place}/memory.max
        stat -c '%a %U' $XDG_RUNTIME_DIR/kiln $XDG_RUNTIME_DIR/kiln/kiln.sock
        systemctl --user kill --signal=KILL kilnd.service
        ${KILN} ps -q
      `);
      assert.deepEqual(seen.split("\n"), [`0::${place}`, String(64 << 20), "700 own", "600 own", "mine"]);
      assert.deepEqual(await units.alive([pid]), [pid]);
    });

    it("ends VMs in order, then kilnd, when the user's manager stops", async () => {
      await units.sh("systemctl stop user@4321.service");
      const journal = await units.sh("cat /home/own/kiln-units");
      const lines = ["kilnd is up", "found mine again", "kilnd is up", "mine was stopped", "kilnd ends"];
      assert.deepEqual(journal.split("\n"), lines);
    });
  });

  it("shuts it down cleanly, and up again", async () => {
    if (skip === false) await units.runVms("last");
    // A child of the agent, so that systemd-shutdown hears of its end from nobody else.
    const late =
      "trap 'sleep 1; echo the program has ended > /dev/kmsg; exit' TERM; while :; do sleep 0.1; done";
    await kiln.ok(["exec", "sys", "sh", "-c", "echo 7 > /proc/sys/kernel/printk"]);
    await kiln.ok(["exec", "-d", "sys", "sh", "-c", late]);
    await kiln.ok(["stop", "-t", "90", "sys"]);
    assert.deepEqual(await exitOf("sys"), { state: "exited", exitCode: 0 });
    const console = await kiln.ok(["logs", "--console", "sys"]);
    const secondOf = (line: RegExp) =>
      Number(line.exec(console)?.[1] ?? assert.fail(`no ${line}\n${console}`));
    const ended = secondOf(/\[ *([0-9.]+)\] the program has ended/);
    const seen = secondOf(/\[ *([0-9.]+)\] systemd-shutdown\[1\]: Sending SIGKILL/);
    assert.ok(seen - ended < 6, `seen at once, not at its next look 9 s later: ${ended} ${seen}`);
    await kiln.ok(["start", "sys"]);
    await systemdIsRunning(kiln, "sys");
    assert.equal((await kiln.ok(["exec", "sys", "cat", "/root/kept"])).trim(), "kept");
    const names = await kiln.ok(["exec", "sys", "sh", "-c", "hostname; cat /etc/hostname"]);
    assert.match(names, /^([0-9a-f]{12})\n\1\n$/, "its own name again");
    const journal = await kiln.ok(["exec", "sys", "sh", "-c", "dmesg | grep -c 'recovery complete' || true"]);
    assert.equal(journal.trim(), "0", "the file system was clean: its journal had nothing to recover");
  });

  it("ended the units' VMs in order when it shut down, and started kilnd with it", { skip }, async () => {
    assert.deepEqual(await units.listed(), []);
    assert.deepEqual(await units.journal(), ["last was stopped", "kilnd ends", "kilnd is up"]);
  });
});

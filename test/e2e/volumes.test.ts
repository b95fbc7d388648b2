// Volumes and all that is mounted beside them, as guests see them: real disks, real ext4, kills in between.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, TestKiln } from "./harness.js";
import { assertWhole } from "./whole-volume.js";

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  kiln.env.KILN_HOST = `unix://${kiln.socket}`;
  image = await busyboxImage(join(kiln.root, "busybox"), {
    extra: [
      { path: "srv", type: "directory", mode: 0o755 },
      { path: "srv/site", type: "directory", mode: 0o750, uid: 1000, gid: 2000 },
      { path: "srv/site/page", data: "of the image\n", mode: 0o640, uid: 1000, gid: 2000 },
      { path: "srv/site/link", type: "symlink", linkTarget: "page" },
    ],
  });
});
after(() => kiln.dispose());

/** Runs a line in a VM that is gone afterwards; gives what it printed. */
async function once(flags: readonly string[], line: string): Promise<string> {
  return kiln.ok(["run", "--rm", "-q", "-m", "128m", "--network", "none", ...flags, image, "sh", "-c", line]);
}

async function box(name: string, ...flags: readonly string[]): Promise<void> {
  const words = ["-m", "128m", "--network", "none", ...flags, image, "sleep", "100000"];
  await kiln.ok(["run", "-d", "-q", "--name", name, ...words]);
}

const sh = (name: string, line: string) => kiln.ok(["exec", name, "sh", "-c", line]);
const inspect = async (name: string, template: string) =>
  (await kiln.ok(["inspect", "-f", template, name])).trim();

describe("what is written to a volume", () => {
  it("is there after a stop, and of what was synced all after kill -9 of the VMM", async () => {
    await box("writer", "-v", "data:/data", "--mount", "type=volume,target=/own");
    assert.equal(
      await inspect("writer", "{{range .status.mounts}}{{.mount.target}}={{.state}} {{end}}"),
      "/data=attached /own=attached",
    );
    await sh("writer", "echo first > /data/file && ls -A /data");
    await kiln.ok(["stop", "-t", "10", "writer"]);
    await assertWhole(kiln, "data");
    await kiln.ok(["start", "writer"]);
    assert.equal(await sh("writer", "cat /data/file"), "first\n");
    await sh("writer", "seq 1 20000 > /data/synced && sync && (seq 1 1000000 > /data/lost &) ; echo");
    process.kill(Number(await inspect("writer", "{{.status.pid}}")), "SIGKILL");
    await eventually("the VM has failed", async () =>
      (await inspect("writer", "{{.status.state}}")) === "failed" ? true : undefined,
    );
    await assertWhole(kiln, "data");
    assert.equal(
      await once(["-v", "data:/d:ro"], "tail -n 1 /d/synced; touch /d/x 2>&1 | grep -c 'Read-only'"),
      "20000\n1\n",
    );
    await kiln.ok(["start", "writer"]);
    assert.equal(await sh("writer", "wc -l < /data/synced"), "20000\n");
  });

  it("is one VM's: a second is told which one has it, and many read it together", async () => {
    const refused = await kiln.kiln(["run", "--rm", "-q", "-m", "128m", "-v", "data:/d", image, "true"]);
    assert.equal(refused.code, 125);
    assert.match(refused.stderr, /volume data writable: VM writer has it writable/);
    assert.match((await kiln.kiln(["volume", "rm", "data"])).stderr, /used by VM writer/);
    await kiln.ok(["stop", "-t", "10", "writer"]);
    await kiln.ok(["rm", "-v", "writer"]);
    assert.equal((await kiln.ok(["volume", "ls", "-q"])).trim(), "data", "its own is gone with it");
    await box("reader", "-v", "data:/d:ro");
    assert.equal(await once(["-v", "data:/d:ro"], "cat /d/file"), "first\n");
    const late = await kiln.kiln(["run", "--rm", "-q", "-m", "128m", "-v", "data:/d", image, "true"]);
    assert.match(late.stderr, /VM reader is reading it/);
    await kiln.ok(["rm", "-f", "reader"]);
  });
});

describe("what a VM sees of its mounts", () => {
  it("is a volume filled from the image, with owners, modes and links", async () => {
    const look = "cd /srv/site && stat -c '%n %u:%g %a' . page && readlink link && cat link";
    const wanted = ". 1000:2000 750\npage 1000:2000 640\npage\nof the image\n";
    assert.equal(await once(["-v", "web:/srv/site"], look), wanted);
    await once(["-v", "web:/srv/site"], "rm /srv/site/link");
    assert.equal(await once(["-v", "web:/srv/site"], "ls /srv/site"), "page\n", "filled once");
    assert.equal(await once(["-v", "bare:/srv/site:nocopy"], "ls -A /srv/site | wc -l"), "0\n");
    assert.equal(
      await once(["--mount", "source=web,target=/s,volume-subpath=a/b"], "touch /s/x; ls /s"),
      "x\n",
    );
  });

  it("is a root that nobody writes to, memory, limits and settings as they were asked", async () => {
    const flags =
      "--read-only --tmpfs /t:size=1m,mode=711,noexec,uid=1000 --shm-size 2m --ulimit nofile=123:456 --sysctl net.core.somaxconn=77";
    const out = await once(
      flags.split(" "),
      [
        "touch /x 2>&1 | grep -c Read-only",
        "df -k /t /dev/shm | tail -n 2 | tr -s ' ' | sed 's/^[^ ]* //' | while read size rest; do echo $size; done",
        "stat -c '%u %a' /t",
        "cp /bin/busybox /t/b 2>/dev/null; cp /bin/busybox /dev/shm/true 2>/dev/null; /t/b 2>&1 | grep -c denied",
        "ulimit -Sn; ulimit -Hn; cat /proc/sys/net/core/somaxconn",
      ]
        .join("; ")
        .replace(
          "| sed 's/^[^ ]* //' | while read size rest; do echo $size; done",
          "| while read name size rest; do echo $size; done",
        ),
    );
    assert.deepEqual(
      out.split("\n").filter((line) => line !== ""),
      [...["1", "1024", "2048", "1000 711", "1", "123", "456", "77"]],
    );
  });

  it("is another image, to be read", async () => {
    await kiln.ok(["create", "-q", "--name", "other", image]);
    const id = (await kiln.ok(["images", "-q", "--no-trunc"])).trim();
    const out = await once(
      ["--mount", `type=image,source=${id},target=/i`],
      "cat /i/srv/site/page; touch /i/x 2>&1 | grep -c Read-only",
    );
    assert.equal(out, "of the image\n1\n");
    await kiln.ok(["rm", "other"]);
  });

  it("are thirty volumes at once, each its own", async () => {
    const names = Array.from({ length: 30 }, (_, at) => `v${at}`);
    const flags = names.flatMap((name) => ["-v", `${name}:/m/${name}`]);
    await once(flags, "cd /m; for v in *; do echo $v > $v/name; done");
    const out = await once(flags, "cat /m/*/name | sort");
    assert.deepEqual(out.trim().split("\n"), [...names].sort());
    await kiln.ok(["volume", "rm", ...names]);
  });

  it("grows where its disk has, at the next mount", async () => {
    await kiln.ok(["volume", "create", "--size", "64m", "small"]);
    const size = () => once(["-v", "small:/s"], "df -m /s | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2");
    await size().catch(() => undefined);
    await kiln.ok(["volume", "grow", "small", "1g"]);
    await box("grown", "-v", "small:/s");
    const grown = (await sh("grown", "df -m /s")).trim().split("\n").at(-1)?.split(/\s+/)[1];
    assert.ok(Number(grown) > 900, grown);
    await kiln.ok(["rm", "-f", "grown"]);
  });
});

describe("a VM that runs", () => {
  it("gets a volume and gives it back, and sees another grow while it writes", async () => {
    await kiln.ok(["volume", "create", "--size", "64m", "live"]);
    await box("host", "-v", "live:/live");
    await kiln.ok(["volume", "attach", "host", "extra:/extra"]);
    await sh("host", "echo here > /extra/file");
    // Firecracker's disks can't be told to forget what they hold.
    if (process.env.KILN_VMM !== "firecracker") {
      await kiln.ok(["volume", "grow", "extra", "96g"]);
      assert.ok(Number(await inspect("extra", "{{.usedBytes}}")) < 64 * 1024 ** 2, "it stays sparse");
    }
    const refused = await kiln.kiln(["run", "--rm", "-q", "-m", "128m", "-v", "extra:/e", image, "true"]);
    assert.match(refused.stderr, /VM host has it writable/);
    const user = kiln.spawn(["exec", "-w", "/extra", "host", "sleep", "50000"]);
    await eventually("a program is in the volume", async () =>
      (await sh("host", "ps | grep -c '[s]leep 50000' || true")).trim() === "1" ? true : undefined,
    );
    const busy = await kiln.kiln(["volume", "detach", "host", "extra"]);
    assert.match(busy.stderr, /sleep/);
    user.kill("SIGTERM");
    await eventually("it has gone", async () =>
      (await sh("host", "ps | grep -c '[s]leep 50000' || true")).trim() === "0" ? true : undefined,
    );
    const fixed = await kiln.kiln(["volume", "detach", "host", "live"]);
    assert.match(fixed.stderr, /unmount \/live: the VM was started with it.*stop the VM/s);
    await sh("host", "mkdir /bound && mount --bind /extra /bound");
    const bound = await kiln.kiln(["volume", "detach", "host", "extra"]);
    assert.match(bound.stderr, /in use by a mount on \/bound/);
    await sh("host", "umount /bound; busybox unshare -m sleep 60000 > /dev/null 2>&1 &");
    await eventually("a program has mounts of its own", async () =>
      (await sh("host", "ps | grep -c '[s]leep 60000' || true")).trim() === "1" ? true : undefined,
    );
    const unshared = await kiln.kiln(["volume", "detach", "host", "extra"]);
    assert.match(unshared.stderr, /in use by a mount on \/extra of sleep/);
    assert.equal(await sh("host", "cat /extra/file && echo too >> /extra/file"), "here\n", "it is as it was");
    await sh("host", "kill $(ps | grep '[s]leep 60000' | while read pid rest; do echo $pid; done)");
    await eventually("it has gone", async () =>
      (await kiln.kiln(["volume", "detach", "host", "extra"])).code === 0 ? true : undefined,
    );
    assert.equal((await sh("host", "ls -A /extra | wc -l")).trim(), "0");
    assert.equal(await once(["-v", "extra:/e:ro"], "cat /e/file"), "here\ntoo\n");
    await assertWhole(kiln, "extra");
    await sh("host", "(while :; do seq 1 1000 >> /live/log || exit; done) > /dev/null 2>&1 &");
    await kiln.ok(["volume", "grow", "live", "1g"]);
    const size = (await sh("host", "df -m /live")).trim().split("\n").at(-1)?.split(/\s+/)[1];
    assert.ok(Number(size) > 900, size);
    await kiln.ok(["stop", "-t", "5", "host"]);
    await assertWhole(kiln, "live");
    await kiln.ok(["rm", "host"]);
  });
});

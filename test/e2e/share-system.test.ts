// Shared directories in system mode: there before the image's init starts anything, and no reason for it not to end.
// The kernel is kiln's own, which has to bring Debian's systemd to running.

import assert from "node:assert/strict";
import { chown, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { debianLayout } from "../fixtures/assets.js";
import { archiveBytes } from "../fixtures/images/tar-writer.js";
import { eventually, killToTheEnd, TestKiln } from "./harness.js";
import { systemdIsRunning } from "./systemd-guest.js";

const OWNER = 1000;
/** Before all that systemd does by itself, mounts of its own among it. */
const EARLY = `[Unit]
DefaultDependencies=no
Before=local-fs-pre.target sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cat /work/greeting > /work/seen'
`;

let kiln: TestKiln;
let shared = "";
before(async () => {
  // Debian's has no 9p.
  kiln = await TestKiln.start({ kernel: "kiln" });
  shared = join(kiln.root, "shared");
  await mkdir(shared);
  await writeFile(join(shared, "greeting"), "hello from the host\n");
  // Root's kilnd serves as whom a directory belongs to, and as root never.
  if (process.getuid?.() === 0) await chown(shared, OWNER, OWNER);
});
after(() => kiln.dispose());

describe("a shared directory of an image with an init of its own", () => {
  it("is there before its first unit, and systemd comes to running with it", async () => {
    const flags = ["-q", "--name", "sys", "-m", "512m", "-v", `${shared}:/work`, "-v", `${shared}:/forced`];
    await kiln.ok(["create", ...flags, debianLayout("systemd")]);
    const wants = "sysinit.target.wants";
    const units = archiveBytes([
      { path: "early.service", data: EARLY },
      { path: wants, type: "directory", mode: 0o755 },
      { path: `${wants}/early.service`, type: "symlink", linkTarget: "../early.service" },
    ]);
    await kiln.ok(["cp", "-", "sys:/etc/systemd/system"], { stdin: units });
    await kiln.ok(["start", "sys"]);
    await systemdIsRunning(kiln, "sys");
    assert.equal(await readFile(join(shared, "seen"), "utf8"), "hello from the host\n");
  });

  it("is unmounted by force as well, while a file of it is open", async () => {
    const opened = "exec 3< /forced/greeting; umount -f /forced 2>/dev/null; exec 3<&-; umount -f /forced";
    await kiln.ok(["exec", "sys", "sh", "-c", opened], { timeoutMs: 60_000 });
    const mounts = await kiln.ok(["exec", "sys", "cat", "/proc/mounts"]);
    assert.doesNotMatch(mounts, /forced/);
    assert.equal(await kiln.ok(["exec", "sys", "cat", "/work/greeting"]), "hello from the host\n");
  });

  it("does not hold its end up once nobody serves it", async () => {
    await rename(shared, `${shared}.gone`);
    const servers = (await kiln.processes()).filter(({ command }) => command.includes("kiln-share "));
    for (const { pid } of servers) await killToTheEnd(pid);
    const states = ["inspect", "-f", "{{range .status.mounts}}{{.mount.target}} {{.state}};{{end}}", "sys"];
    await eventually("the share is away", async () =>
      (await kiln.ok(states)).includes("/work away;") ? true : undefined,
    );
    await kiln.ok(["exec", "-d", "sys", "sh", "-c", "echo late > /work/late"]);
    // systemd itself would wait for 90 s.
    await kiln.ok(["stop", "-t", "80", "sys"]);
    assert.equal(
      (await kiln.ok(["inspect", "-f", "{{.status.state}} {{.status.exitCode}}", "sys"])).trim(),
      "exited 0",
    );
  });
});

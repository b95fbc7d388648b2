// `kiln kernel build` with the kernel that set-up has built, as its users see it; and real builds, begun and given up.

import assert from "node:assert/strict";
import { chmod, chown, lstat, mkdtemp, readdir, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { BuiltKernel } from "../../src/kernel/index.js";
import { seedKernelBuild } from "../fixtures/assets.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { copyCheckout } from "../fixtures/checkout-copy.js";
import { cannotRunRegistry, startRegistry } from "../fixtures/registry/index.js";
import { eventually, TestKiln } from "./harness.js";

interface KernelRow {
  readonly Name: string;
  readonly Default: string;
  readonly Why: string;
  readonly Source: string;
  readonly Modules: boolean;
}

const USER = { uid: 54_321, gid: 54_321 };
const IMAGE = /^localhost\/kiln-kernel:[0-9.]+-amd64$/;

describe("kiln kernel build", () => {
  let kiln: TestKiln;
  let built: BuiltKernel;
  let image: string;
  let build: string[];
  before(async () => {
    kiln = await TestKiln.start({ kernel: "debian" });
    built = await seedKernelBuild(join(kiln.root, "data"));
    image = await busyboxImage(join(kiln.root, "busybox"));
    build = ["kernel", "build", "--version", built.source.version];
  });
  after(() => kiln.dispose());

  const rows = async (): Promise<KernelRow[]> =>
    (await kiln.ok(["kernel", "ls", "--format", "json"]))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as KernelRow);
  const release = async (...flags: string[]): Promise<string> =>
    (await kiln.ok(["run", "--rm", ...flags, image, "uname", "-r"])).trim();

  it("is what the default kernel's reason asks for as long as Debian's is the default", async () => {
    assert.match((await rows())[0]?.Why ?? "", /^Debian's: `kiln kernel build`/);
    assert.match(await kiln.ok(["info"]), /kernel: +\S+-cloud-amd64 \(Debian's: /);
  });

  it("prints the id of a kernel that is then the default, and says why", async () => {
    assert.equal(await kiln.ok(build), `${built.image}\n`);
    const own = (await rows()).find(({ Default }) => Default === "yes");
    assert.deepEqual([own?.Name, own?.Why, own?.Modules], [built.release, "kiln's own", false]);
    assert.match(own?.Source ?? "", IMAGE);
    assert.match(await kiln.ok(["info"]), /kernel: +\S+-kiln \(kiln's own\)/);
  });

  it("gives a kernel that VMs boot, with nothing to load", async () => {
    assert.equal(await release(), built.release);
    assert.equal(await kiln.ok(["run", "--rm", image, "cat", "/proc/modules"]), "");
  });

  it("leaves the choice: --kernel debian, --kernel kiln, or a name", async () => {
    assert.match(await release("--kernel", "debian"), /-cloud-amd64$/);
    assert.equal(await release("--kernel", "kiln"), built.release);
    assert.equal(await release("--kernel", built.image.slice(0, 12)), built.release);
  });

  it("gives an image that can be saved, pushed, pulled and imported like any", async (test) => {
    const missing = cannotRunRegistry();
    if (missing !== undefined) return test.skip(missing);
    const { Source: name } = (await rows()).find(({ Default }) => Default === "yes") ?? { Source: "" };
    const file = join(kiln.root, "kernel.tar");
    await kiln.ok(["image", "save", "-o", file, name]);
    await using registry = await startRegistry();
    // Pushed with gzip: another manifest, the same kernel.
    await registry.push(`oci-archive:${file}`, "kernels/mine:1", { compression: "gzip" });
    const pushed = `${registry.host}/kernels/mine:1`;
    await kiln.ok(["kernel", "rm", "kiln"]);
    await kiln.ok(["rmi", name]);
    assert.equal(await kiln.ok(["kernel", "import", pushed]), `${built.image}\n`);
    const own = (await rows()).find(({ Default }) => Default === "yes");
    assert.deepEqual([own?.Why, own?.Source], ["kiln's own", pushed]);
    const labels = await kiln.ok(["image", "inspect", "-f", "{{json .config.labels}}", pushed]);
    assert.equal((JSON.parse(labels) as Record<string, string>)["dev.kiln.kernel.key"], built.key);
  });

  it("says which versions there are where there is none of that name", async () => {
    const none = await kiln.kiln(["kernel", "build", "--version", "9.99"]);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /^kiln: find the sources of Linux 9\.99: /m);
    assert.match(
      (await kiln.kiln(["kernel", "build", "--version", "new"])).stderr,
      /"new" is no kernel version/,
    );
  });
});

/** What is seen from outside of a build's processes. */
interface BuildProcesses {
  readonly uids: readonly number[];
  readonly networks: readonly string[];
}

/** Starts a build of what is there already, and waits until the sandbox runs its first program, which unpacks. */
async function startBuild(kiln: TestKiln, version: string) {
  const child = kiln.spawn(["kernel", "build", "--no-cache", "--version", version]);
  let shown = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    shown += chunk.toString("utf8");
  });
  const ended = new Promise((resolve) => child.once("close", (code, signal) => resolve(code ?? signal)));
  const processes = await eventually("the build runs", async () => {
    assert.equal(child.exitCode, null, shown);
    return await buildProcesses(kiln);
  });
  return { child, ended, processes };
}

/** undefined where there are none. */
async function buildProcesses(kiln: TestKiln): Promise<BuildProcesses | undefined> {
  const tars = (await kiln.processes()).filter(({ command }) => command.startsWith("tar "));
  if (tars.length === 0) return undefined;
  try {
    return {
      uids: await Promise.all(tars.map(async ({ pid }) => (await lstat(`/proc/${pid}`)).uid)),
      networks: await Promise.all(tars.map(({ pid }) => readlink(`/proc/${pid}/ns/net`))),
    };
  } catch {
    return undefined; // ended while it was looked at
  }
}

const workOf = (kiln: TestKiln) => readdir(join(kiln.root, "data/cache/kernel-build/work"));
const noneLeft = (kiln: TestKiln) =>
  eventually("all of the build is gone", async () => {
    const processes = await buildProcesses(kiln);
    return processes === undefined && (await workOf(kiln)).length === 0 ? true : undefined;
  });

describe("a build under way", () => {
  const root = process.getuid?.() === 0;

  it("runs without privileges and without a network, and is gone with a kilnd that is killed", async (test) => {
    if (!root) return test.skip("kilnd is root only where the tests are");
    const kiln = await TestKiln.start({ kernel: "debian" });
    try {
      const { source } = await seedKernelBuild(join(kiln.root, "data"));
      const { processes, ended } = await startBuild(kiln, source.version);
      assert.ok(
        processes.uids.every((uid) => uid > 1_000_000),
        `uids ${processes.uids}`,
      );
      assert.ok(!processes.networks.includes(await readlink("/proc/self/ns/net")));
      await kiln.stopDaemon("SIGKILL");
      assert.equal(await ended, 1);
      await eventually("its processes are gone", async () =>
        (await buildProcesses(kiln)) === undefined ? true : undefined,
      );
      assert.equal((await workOf(kiln)).length, 1);
      await kiln.startDaemon();
      await noneLeft(kiln);
    } finally {
      await kiln.dispose();
    }
  });

  it("is an ordinary user's as well, and is gone when its command is interrupted", async () => {
    const scratch = await mkdtemp(join(tmpdir(), "kiln-user-"));
    let kiln: TestKiln | undefined;
    try {
      await chmod(scratch, 0o755);
      kiln = await startAsUser(scratch);
      const { source } = await seedKernelBuild(join(kiln.root, "data"));
      if (root) await giveAll(join(kiln.root, "data/cache"), USER);
      const { child, processes, ended } = await startBuild(kiln, source.version);
      assert.deepEqual(new Set(processes.uids), new Set([root ? USER.uid : process.getuid?.()]));
      child.kill("SIGINT");
      assert.equal(await ended, 130);
      await noneLeft(kiln);
      // It goes last.
      const logs = join(kiln.root, "data/cache/kernel-build/logs");
      await eventually("the build's log is gone", async () =>
        (await readdir(logs)).length === 0 ? true : undefined,
      );
    } finally {
      await kiln?.dispose();
      await rm(scratch, { recursive: true, force: true });
    }
  });
});

/** As root: by a user nobody knows, from a copy of what runs. */
async function startAsUser(scratch: string): Promise<TestKiln> {
  if (process.getuid?.() !== 0) return TestKiln.start({ kernel: "debian" });
  const prefix = ["setpriv", `--reuid=${USER.uid}`, `--regid=${USER.gid}`, "--clear-groups", "--"];
  const programs = await copyCheckout(join(scratch, "kiln"));
  return TestKiln.start({ kernel: "debian", prefix, programs, owner: USER, env: { HOME: scratch } });
}

async function giveAll(path: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  const info = await lstat(path);
  // A hard link to the set-up's package stays whose it is: it is only read.
  if (info.isFile() && info.nlink > 1) return;
  await chown(path, uid, gid);
  if (!info.isDirectory()) return;
  for (const name of await readdir(path)) await giveAll(join(path, name), { uid, gid });
}

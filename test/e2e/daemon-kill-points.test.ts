// kill -9 of kilnd at each of its named points (src/base/failpoint.ts) and between the two copies of each file that it
// writes: whatever was half done, the next start repairs it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Failpoint } from "../../src/base/failpoint.js";
import { assertClean } from "../contract/file-sink-ext4.js";
import { debianLayout } from "../fixtures/assets.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { archiveBytes } from "../fixtures/images/tar-writer.js";
import { eventually, TestKiln } from "./harness.js";

const KILND = fileURLToPath(new URL("../fixtures/kilnd-failpoints.js", import.meta.url));

/** Of every run; one with --rm passes `vm.remove.renamed` besides. */
const RUN_POINTS: readonly Failpoint[] = [
  "vm.create.begun",
  "vm.create.filled",
  "vm.create.renamed",
  "run.prepare",
  "run.spawn",
  "run.launched",
  "run.hello",
  "run.setup",
  "run.up",
  "run.live",
];
/** Of every run that ends by itself. */
const END_POINTS: readonly Failpoint[] = ["end.noted", "end.stored", "end.acknowledged", "end.settled"];
/** Of the first start of a VM for which a file waits, besides. */
const FILES_POINTS: readonly Failpoint[] = ["run.files", "run.workload"];
/** Of the first create of an image. */
const CREATE_POINTS: readonly Failpoint[] = [
  "image.fetched",
  "base.create.begun",
  "base.create.filled",
  "base.create.renamed",
  "vm.create.filled",
];
/** Of the forced removal of a VM that runs. */
const REMOVE_POINTS: readonly Failpoint[] = ["vm.remove.renamed"];
/** Of the making of a volume, and of its removal. */
const VOLUME_POINTS: readonly Failpoint[] = [
  "volume.create.begun",
  "volume.create.filled",
  "volume.create.renamed",
];
/** What a status is written for at least: a start's intent, its VMM, the program's start, its exit. */
const FEWEST_WRITES = 4;

const MIB = 1024 ** 2;

let kiln: TestKiln;
let busybox = "";
let scratch = "";
let pointFile = "";
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kt-point-"));
  pointFile = join(scratch, "point");
  await writeFile(pointFile, "");
  // The kernel is none of it, and kiln's own boots in half the time.
  kiln = await TestKiln.start({ kernel: "kiln", daemon: KILND, env: { KILN_TEST_FAILPOINT: pointFile } });
  busybox = await busyboxImage(join(kiln.root, "busybox"));
});
after(async () => {
  await kiln.dispose();
  await rm(scratch, { recursive: true });
});

/**
 * Runs a verb with kilnd ending at the point, and starts the next one. The verb names the socket: one that came too late
 * would start a kilnd by itself at the default one.
 *
 * @param point with `:N`, at the N-th time
 * @returns false where the verb ended without passing the point
 */
async function killAt(point: string, args: readonly string[]): Promise<boolean> {
  await writeFile(pointFile, point);
  const died = kiln.daemonEnd();
  const client = kiln.spawn(["--host", `unix://${kiln.socket}`, ...args]);
  const ended = once(client, "close");
  client.stdin?.end();
  client.stdout?.resume();
  client.stderr?.resume();
  const over = await Promise.race([died, ended.then(() => settled(args)).then(() => "passed" as const)]);
  await writeFile(pointFile, "");
  if (over === "passed" && (await asked(["ps", "-q"])).code === 0) return false;
  assert.equal(await died, "SIGKILL", `kilnd at ${point}`);
  // First: a client in the foreground waits for the next kilnd, and goes on with it.
  await kiln.startDaemon();
  await ended;
  return true;
}

/** By the socket's name: without it a command would start a kilnd where the last one has just ended. */
const asked = (args: readonly string[]) => kiln.kiln(["--host", `unix://${kiln.socket}`, ...args]);

/** A VM goes on for a moment after its client has had the exit code: until its end is written, or it is removed. */
async function settled(args: readonly string[]): Promise<void> {
  if (args.includes("--rm")) return kiln.untilNoVm();
  await eventually(`${args.join(" ")} is over`, async () => {
    const { code, stdout } = await asked(["ps", "-q"]);
    return code !== 0 || stdout === "" ? true : undefined;
  });
}

/**
 * Nothing is left that no object owns, and every VM that is listed can be removed. A --rm VM may be going meanwhile by
 * itself: it is out of sight first, and its files after that.
 */
async function assertWhole(what: string): Promise<void> {
  const ids = (await kiln.ok(["ps", "-aq", "--no-trunc"])).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await kiln.ok(["rm", "-f", ...ids]);
  await eventually(`nothing of it is left: ${what}`, async () => {
    const left = [
      ...(await readdir(join(kiln.root, "data", "vms"))),
      ...(await readdir(join(kiln.root, "run", "v"))),
    ];
    return left.length === 0 ? true : undefined;
  });
  const usage = await kiln.kiln(["system", "df"]);
  assert.deepEqual([usage.code, usage.stderr], [0, ""], what);
  const others = (await kiln.processes()).filter(({ pid }) => pid !== kiln.daemonPid);
  assert.deepEqual(others, [], what);
  const building = (await readdir(join(kiln.root, "data", "bases"))).filter((name) => name.startsWith("."));
  assert.deepEqual(building, [], what);
}

/** At each of the points, which the verb must pass. */
async function killAtAll(
  points: readonly Failpoint[],
  verb: () => Promise<readonly string[]>,
): Promise<void> {
  for (const point of points) {
    const args = await verb();
    const what = `${args.join(" ")}: killed at ${point}`;
    assert.ok(await killAt(point, args), `${what}: the point was not passed`);
    await assertWhole(what);
  }
}

/** Between the copies of each file that the verb writes, one after another. */
async function killAtWrites(verb: () => Promise<readonly string[]>, fewestWrites: number): Promise<void> {
  for (let time = 1; ; time++) {
    const args = await verb();
    const reached = await killAt(`kept.first:${time}`, args);
    await assertWhole(`${args.join(" ")}: killed at write ${time}`);
    if (reached) continue;
    assert.ok(time > fewestWrites, `${args.join(" ")} has written ${time - 1} times`);
    return;
  }
}

describe("kill -9 of kilnd", () => {
  it("at every point of run leaves nothing behind", async () => {
    await kiln.ok(["run", "--rm", busybox, "true"]);
    const run = (how: string) => ["run", how, "-m", "128m", busybox, "sleep", "1"];
    await killAtAll([...RUN_POINTS, ...END_POINTS, "vm.remove.renamed"], async () => run("--rm"));
    await killAtAll(END_POINTS, async () => run("--init=app"));
    await killAtWrites(async () => run("--init=app"), FEWEST_WRITES);
  });

  it("at every point of a pull that builds a base leaves nothing behind, and the pull succeeds then", async () => {
    const image = debianLayout("debian");
    const create = async () => {
      await kiln.ok(["system", "prune", "-a", "-f"]);
      return ["create", image, "true"];
    };
    await killAtAll(CREATE_POINTS, create);
    await killAtWrites(create, 1);
    await kiln.ok(["create", image, "true"]);
    await assertWhole("the last create");
  });

  it("while files that waited for a VM's first start are written loses none of them", async () => {
    for (const point of FILES_POINTS) {
      await kiln.ok(["create", "--name", "filled", "-m", "128m", busybox, "cat", "/etc/waited"]);
      const waited = archiveBytes([{ path: "waited", data: "here" }]);
      await kiln.ok(["cp", "-", "filled:/etc"], { stdin: waited });
      assert.ok(await killAt(point, ["start", "-a", "filled"]), `start -a passes ${point}`);
      await kiln.ok(["wait", "filled"]);
      assert.equal(await kiln.ok(["logs", "filled"]), "here", point);
      await assertWhole(point);
    }
  });

  it("at every point of rm leaves nothing behind", async () => {
    const remove = async () => {
      const id = (await kiln.ok(["run", "-d", "-m", "128m", busybox, "sleep", "1000"])).trim();
      return ["rm", "-f", id];
    };
    await killAtAll(REMOVE_POINTS, remove);
    await killAtWrites(remove, 1);
  });

  it("at every point of a volume's making, growing and removal leaves it whole or not there", async () => {
    const create = async () => ["volume", "create", "--size", "64m", "data"];
    for (const point of VOLUME_POINTS) {
      assert.ok(await killAt(point, await create()), point);
      await assertVolumes(point === "volume.create.renamed" ? ["data"] : [], point);
      await kiln.ok(["volume", "rm", "-f", "data"]);
    }
    await kiln.ok(await create());
    let mib = 64;
    await killAtWrites(async () => ["volume", "grow", "data", `${++mib}m`], 1);
    assert.ok(await killAt("volume.grown", ["volume", "grow", "data", "128m"]));
    const sizes = await kiln.ok(["volume", "inspect", "-f", "{{.sizeBytes}} {{.filesystemBytes}}", "data"]);
    assert.equal(sizes, `${128 * MIB} ${64 * MIB}\n`);
    await assertVolumes(["data"], "volume.grown");
    assert.ok(await killAt("volume.remove.renamed", ["volume", "rm", "data"]));
    await assertVolumes([], "volume.remove.renamed");
  });
});

/** Those are there, each with its disk clean; and nothing else. */
async function assertVolumes(names: readonly string[], what: string): Promise<void> {
  const root = join(kiln.root, "data", "volumes");
  const lines = (await kiln.ok(["volume", "ls", "--format", "{{.Name}} {{.ID}}"])).split("\n").slice(0, -1);
  const found = lines.map((line) => line.split(" "));
  assert.deepEqual(
    found.map(([name]) => name),
    names,
    what,
  );
  assert.deepEqual((await readdir(root)).sort(), found.map(([, id]) => id).sort(), what);
  for (const [, id = ""] of found) assertClean(join(root, id, "disk.ext4"));
  await assertWhole(what);
}

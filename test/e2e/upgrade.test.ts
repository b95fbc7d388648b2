// State as release 0.1.0 wrote it (test/upgrade/0.1.0), with VMs running: this release's kilnd takes everything over.
// A running VM's files are given that release's fields and nothing else, its copies and marks taken away.

import assert from "node:assert/strict";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CHECKOUT } from "../fixtures/assets.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { damageFile, OTHER_RELEASE, UNREADABLE } from "../fixtures/damage.js";
import { TestKiln } from "./harness.js";

const FIXTURES = join(CHECKOUT, "test/upgrade/0.1.0");
/** All others are done to fakes (src/engine/damaged-state.test.ts): each costs a restart. */
const DAMAGES = [...UNREADABLE, ...OTHER_RELEASE].filter(({ what }) => /half|missing|unknown/.test(what));
/** As the fixtures' VMs are called. */
const STATES = { web: "running", paused: "paused", ended: "exited", made: "created" } as const;
type Name = keyof typeof STATES;
const NAMES = Object.keys(STATES) as Name[];

let kiln: TestKiln;
const ids = new Map<Name, string>();
before(async () => {
  kiln = await TestKiln.start();
  const image = await busyboxImage(join(kiln.root, "busybox"));
  const flags = ["-m", "128m", "--name"];
  await kiln.ok(["run", "-d", "-p", "127.0.0.1:0:80", ...flags, "web", image, "sleep", "100000"]);
  await kiln.ok(["run", "-d", ...flags, "paused", image, "sleep", "100000"]);
  await kiln.ok(["pause", "paused"]);
  assert.equal((await kiln.kiln(["run", ...flags, "ended", image, "sh", "-c", "echo bye; exit 3"])).code, 3);
  await kiln.ok(["create", ...flags, "made", image, "true"]);
  for (const name of NAMES) ids.set(name, (await inspect(name)).id);
});
after(() => kiln.dispose());

async function inspect(name: string): Promise<{ id: string; status: { state: string } }> {
  return JSON.parse(await kiln.ok(["inspect", name]))[0];
}

const data = (...path: string[]) => join(kiln.root, "data", ...path);
const vmFile = (name: Name, file: string) => data("vms", ids.get(name) ?? "", file);

/** What of today's file that release had, field by field; what it had and today's has not, as it was there. */
function inShapeOf(old: unknown, today: unknown): unknown {
  if (typeof old !== "object" || old === null || Array.isArray(old) || typeof today !== "object") {
    return today === undefined ? old : today;
  }
  const now = today as Record<string, unknown>;
  return Object.fromEntries(Object.entries(old).map(([key, value]) => [key, inShapeOf(value, now[key])]));
}

/** What that release had in its record of a Firecracker, but for where today's has its sockets: the fixtures are of QEMU. */
const FIRECRACKER_FACTS = ["consoleLog", "version", "sockets"];

async function age(path: string, fixture: string): Promise<void> {
  const old = JSON.parse(await readFile(join(FIXTURES, fixture), "utf8"));
  const today = JSON.parse(await readFile(path, "utf8"));
  if (today.vmm?.driver === "firecracker")
    old.vmm.facts = Object.fromEntries(FIRECRACKER_FACTS.map((name) => [name, today.vmm.facts[name]]));
  // Maps by digest have keys of their own.
  const aged = fixture === "names.json" ? { images: today.images } : inShapeOf(old, today);
  await writeFile(path, JSON.stringify(aged, null, 1));
  await rm(`${path}.bak`, { force: true });
}

/** The whole root as that release would have left it. */
async function ageAll(): Promise<void> {
  for (const name of NAMES) {
    for (const file of ["vm.json", "status.json", "cow.json"]) {
      await age(vmFile(name, file), join("vms", name, file));
    }
  }
  for (const key of await readdir(data("bases"))) await age(data("bases", key, "base.json"), "base.json");
  for (const file of await readdir(data("images"))) {
    if (file.endsWith(".json")) await age(data("images", file), "image.json");
  }
  await age(data("names.json"), "names.json");
  for (const name of ["owner.key", "owner.key.bak"]) await rm(data(name), { force: true });
}

async function restarted(between: () => Promise<void>): Promise<void> {
  await kiln.stopDaemon("SIGKILL");
  await between();
  await kiln.startDaemon();
}

/**
 * The VMM processes of this root's VMs, by the run directory that their mark names: in a jail no path of the host's is on
 * their command line. Which key has signed the mark does not matter here.
 */
async function vmmPids(): Promise<number[]> {
  const marks = (await readdir(join(kiln.root, "run/v"))).map((name) => `KILN_OWNER=${name}.`);
  const pids: number[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const [command, environment] = await Promise.all(
      ["cmdline", "environ"].map((file) => readFile(`/proc/${pid}/${file}`, "latin1").catch(() => "")),
    );
    if (!/qemu-system|firecracker/.test(command ?? "")) continue;
    if (marks.some((mark) => environment?.includes(mark))) pids.push(Number(pid));
  }
  return pids.sort();
}

describe("a kilnd on the state of release 0.1.0", () => {
  it("takes its VMs over as they are, and loses nothing", async () => {
    const before = await vmmPids();
    assert.ok(before.length > 0);
    const port = await kiln.ok(["port", "web"]);
    const images = await kiln.ok(["images", "--no-trunc", "-q"]);
    await restarted(ageAll);
    for (const name of NAMES) assert.equal((await inspect(name)).status.state, STATES[name], name);
    assert.deepEqual(await vmmPids(), before);
    assert.equal(await kiln.ok(["port", "web"]), port);
    assert.equal(await kiln.ok(["images", "--no-trunc", "-q"]), images);
    assert.equal(await kiln.ok(["exec", "web", "echo", "here"]), "here\n");
    assert.equal(await kiln.ok(["logs", "ended"]), "bye\n");
    await kiln.ok(["unpause", "paused"]);
    assert.equal(await kiln.ok(["exec", "paused", "echo", "awake"]), "awake\n");
    assert.equal((await kiln.kiln(["start", "-a", "ended"])).code, 3);
  });

  it("finds nothing attached to them, and attaches a volume where their VMM has a place for one", async (t) => {
    const mounts = ["inspect", "-f", "{{json .Mounts}}{{json .status.mounts}}", "paused"];
    assert.equal((await kiln.ok(mounts)).replaceAll("null", "[]").trim(), "[][]");
    if (process.env.KILN_TRUST_FIRECRACKER === "yes")
      return t.diagnostic(
        "no volume on the stand-in: its drives keep their serials, by which a guest finds a disk",
      );
    // Their QEMU is asked for its places. One without is refused by what is to be done (contract/vmm-qemu).
    await kiln.ok(["volume", "attach", "paused", "extra:/extra"]);
    assert.equal(await kiln.ok(["exec", "paused", "sh", "-c", "echo 1 > /extra/x; cat /extra/x"]), "1\n");
    await kiln.ok(["volume", "detach", "paused", "extra"]);
  });

  it("goes on with what runs whatever becomes of a file and its copy", async () => {
    const before = await vmmPids();
    for (const file of ["status.json", "vm.json"]) {
      const text = await readFile(vmFile("web", file), "utf8");
      for (const damage of DAMAGES) {
        await restarted(async () => {
          for (const suffix of ["", ".bak"]) await writeFile(vmFile("web", file) + suffix, text);
          await damageFile(vmFile("web", file), damage, true);
        });
        const id = ids.get("web") ?? "";
        assert.equal((await inspect(id)).status.state, "running", damage.what);
        assert.equal(await kiln.ok(["exec", id, "echo", "here"]), "here\n", damage.what);
        assert.deepEqual(await vmmPids(), before, damage.what);
      }
      await restarted(() => writeFile(vmFile("web", file), text));
    }
    await kiln.ok(["stop", "web"]);
    assert.equal((await inspect("web")).status.state, "exited");
  });
});

import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, it } from "node:test";
import { worldCase } from "../../../test/fixtures/engine-case.js";
import { createFakeRooms, type FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import { Code, KilnError } from "../../base/errors.js";
import { deferred } from "../../base/runtime.js";
import { Phase } from "../../gen/kiln/agent/v1/machine_pb.js";
import type { VmmHandle } from "../../vmm/types.js";
import { until } from "../common/notifier.js";
import type { Rooms } from "../common/rooms.js";
import type { EngineSettings } from "../common/settings.js";
import type { VmEntry } from "../vm/entry.js";
import type { LiveView } from "../vm/run-view.js";
import type { VmConfig } from "../vm/vm-config.js";

// Whatever brings a VM up, it comes up by the same stages: what holds for one way in must hold for all of them.

let settings: Partial<EngineSettings>;
/** The console of guests that boot from now on says nothing. */
let mute: boolean;
/** Guests that have said hello. */
let hellos: number;
/** What has happened before the way in that is tested. */
let before: number;
let lifeBefore: LiveView | undefined;
const kilnd = worldCase();
beforeEach(() => {
  settings = {};
  mute = false;
  hellos = 0;
});

/** Called with the VM just before it is brought up. */
type Arm = (entry: VmEntry) => void | Promise<void>;

/** Each begins to bring a VM up by its way. */
const WAYS: Readonly<Record<string, (arm: Arm) => Promise<VmEntry>>> = {
  "a start": async (arm) => {
    await open();
    const entry = await kilnd.create();
    await armed(entry, arm);
    void kilnd.engine.vms.start(entry.id).catch(() => undefined);
    return entry;
  },
  "a restart by policy": async (arm) => {
    const entry = await running({ restart: { name: "on-failure", maximumRetryCount: 1 } });
    await armed(entry, arm);
    lastVmm().guest.exit(1);
    return entry;
  },
  "a reboot": async (arm) => {
    const entry = await running();
    await armed(entry, arm);
    lastVmm().guest.reboot();
    return entry;
  },
  "a boot that a killed kilnd has left": async (arm) => {
    const { id } = await running();
    await kilnd.engine.close();
    lastVmm().guest.phase = Phase.WAITING;
    await cutBoot(id);
    const gate = deferred<void>();
    kilnd.world.reattachGate = gate.promise;
    await open(false);
    const entry = kilnd.engine.entry(id);
    await armed(entry, arm);
    gate.resolve();
    return entry;
  },
};

async function armed(entry: VmEntry, arm: Arm): Promise<void> {
  before = (await told(entry, 0)).length;
  hellos = 0;
  lifeBefore = entry.live;
  await arm(entry);
}

async function open(recovered = true): Promise<void> {
  await kilnd.open(settings, watchedRooms());
  if (recovered) await kilnd.engine.recovered;
}

async function running(config: Partial<VmConfig> = {}): Promise<VmEntry> {
  await open();
  const entry = await kilnd.create(config);
  await kilnd.engine.vms.start(entry.id);
  return entry;
}

function lastVmm(): FakeVmm {
  const vmm = kilnd.world.vmms.at(-1);
  assert.ok(vmm);
  return vmm;
}

/** Its status as a kilnd leaves it that is killed between the VMM's launch and the program's start. */
async function cutBoot(id: string): Promise<void> {
  const path = join(kilnd.world.root, "data/vms", id, "status.json");
  const { startedAt: _at, timings: _timings, ...status } = JSON.parse(await readFile(path, "utf8"));
  await writeFile(path, JSON.stringify({ ...status, state: "starting" }));
}

/** The fake rooms, with guests that may be mute and hellos that are written down. */
function watchedRooms(): Rooms {
  const rooms = createFakeRooms(kilnd.world);
  const driver = rooms.vmms.driver("qemu");
  const silence = new Promise<void>(() => undefined);
  const watched = (handle: VmmHandle): VmmHandle => {
    if (mute) Object.assign(handle, { firstOutput: silence });
    return handle;
  };
  const watching = {
    ...driver,
    launch: async (...args: Parameters<typeof driver.launch>) => watched(await driver.launch(...args)),
    reattach: async (...args: Parameters<typeof driver.reattach>) => watched(await driver.reattach(...args)),
  };
  return {
    ...rooms,
    vmms: {
      ...rooms.vmms,
      choose: async (wish) => ({ ...(await rooms.vmms.choose(wish)), driver: watching }),
      driver: () => watching,
    },
    agent: {
      ...rooms.agent,
      openSession: async (dial, options) => {
        const session = await rooms.agent.openSession(dial, options);
        hellos++;
        return session;
      },
    },
  };
}

/** The actions told of a VM. */
async function told(entry: VmEntry, from = before): Promise<string[]> {
  const actions: string[] = [];
  for await (const { id, action } of kilnd.engine.events.read({
    after: 0n,
    untilMs: Date.now() + kilnd.world.clockAheadMs,
  }))
    if (id === entry.id) actions.push(action);
  return actions.slice(from);
}

/** It hangs from now on: also one that another kilnd has launched. */
function hang(entry: VmEntry): void {
  if (entry.state === "starting") Object.assign(lastVmm().guest, { behaviour: { hangs: true } });
}

const runs = (entry: VmEntry) =>
  until(entry.changed, () => {
    const { state, live } = entry;
    return (state === "running" && live !== undefined && live !== lifeBefore) || undefined;
  });
const fails = (entry: VmEntry) => until(entry.changed, () => entry.state === "failed" || undefined);

async function leftNothing(): Promise<void> {
  assert.deepEqual(
    kilnd.world.vmms.filter(({ alive }) => alive),
    [],
  );
  assert.deepEqual(await readdir(join(kilnd.world.root, "run/v")), []);
  assert.deepEqual([...kilnd.world.ports], []);
}

for (const [way, bringUp] of Object.entries(WAYS)) {
  describe(`a VM that is brought up by ${way}`, () => {
    it("is told of, with the time that each of its stages took", async () => {
      const entry = await bringUp(() => undefined);
      await runs(entry);
      assert.deepEqual(
        (await told(entry)).filter((action) => action === "start"),
        ["start"],
      );
      const { timings } = entry.status;
      assert.ok(timings);
      assert.ok(timings.helloMs > 0 && timings.startedMs >= timings.helloMs, JSON.stringify(timings));
      assert.equal(lastVmm().guest.phase, Phase.RUNNING);
    });

    it("waits for its turn to boot", async () => {
      settings = { concurrentBoots: 1 };
      const gate = deferred<void>();
      let first: VmEntry | undefined;
      const entry = await bringUp(async () => {
        kilnd.world.launchGate = gate.promise;
        first = await kilnd.create({ name: "first" });
        void kilnd.engine.vms.start(first.id);
        await until(first.changed, () => first?.run?.stage === "spawn" || undefined);
      });
      assert.ok(first);
      await until(entry.changed, () => (entry.run === undefined || entry.live ? undefined : true));
      for (let turn = 0; turn < 50; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
      assert.equal(hellos, 0, "nobody else boots meanwhile");
      gate.resolve();
      await Promise.all([runs(first), runs(entry)]);
    });

    it("is tried once more where its guest hangs", async () => {
      let launched = 0;
      const entry = await bringUp((found) => {
        kilnd.world.behaviours = found.state === "starting" ? [{}] : [{ hangs: true }, {}];
        hang(found);
        launched = kilnd.world.vmms.length;
      });
      await runs(entry);
      assert.deepEqual(
        kilnd.world.vmms.slice(-2).map(({ alive }) => alive),
        [false, true],
      );
      assert.ok(kilnd.world.vmms.length > launched);
      assert.deepEqual(
        (await told(entry)).filter((action) => action === "start"),
        ["start"],
      );
    });

    it("is given up with its console's last lines where it hangs again", async () => {
      const entry = await bringUp((found) => {
        kilnd.world.behaviours = [{ hangs: true }];
        hang(found);
      });
      await fails(entry);
      assert.equal(entry.status.reason, "no-hello");
      assert.match(entry.status.message, /last words of the kernel/);
      await kilnd.engine.vms.stop(entry.id);
      await leftNothing();
    });

    it("is not waited for where its console stays silent", async () => {
      settings = { helloTimeoutMs: { kvm: 3_600_000, tcg: 3_600_000 } };
      const entry = await bringUp((found) => {
        mute = true;
        kilnd.world.behaviours = [{ hangs: true }];
        hang(found);
      });
      await fails(entry);
      assert.match(entry.status.message, /its console stayed silent/);
      await kilnd.engine.vms.stop(entry.id);
      await leftNothing();
    });

    it("is given up by a stop", async () => {
      settings = {
        helloTimeoutMs: { kvm: 3_600_000, tcg: 3_600_000 },
        silenceTimeoutMs: { kvm: 3_600_000, tcg: 3_600_000 },
      };
      const entry = await bringUp((found) => {
        kilnd.world.behaviours = [{ hangs: true }];
        hang(found);
      });
      await until(entry.changed, () => entry.run?.stage === "hello" || undefined);
      await kilnd.engine.vms.stop(entry.id);
      assert.deepEqual([entry.state, entry.status.reason], ["exited", "killed"]);
      await leftNothing();
    });

    it("leaves no VMM where that it runs can't be written down", async () => {
      const full = new KilnError(Code.ResourceExhausted, "no space left", { reason: "disk-full" });
      const entry = await bringUp((found) => {
        const { change } = found;
        found.change = (to, facts) =>
          to.to === "running" ? Promise.reject(full) : change.call(found, to, facts);
      });
      await fails(entry);
      assert.equal(entry.status.reason, "disk-full");
      await kilnd.engine.vms.stop(entry.id);
      await leftNothing();
    });
  });
}

// Files that are put into a VM before it starts: kept beside it, written between its root and its program.

import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import { readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import {
  arrived,
  copy,
  directoryOf,
  into,
  lastVmm,
  tar,
  waiting,
} from "../../../test/fixtures/pending-archives.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { deferred } from "../../base/runtime.js";
import { Phase } from "../../gen/kiln/agent/v1/machine_pb.js";
import type { VmEntry } from "../vm/entry.js";
import { type CopyOrder, MOST_BYTES, MOST_COPIES, PendingCopies } from "./pending-copies.js";

const kilnd = engineCase();

const created = (changes = {}) => kilnd.create(changes);

const put = (entry: VmEntry, order: CopyOrder, ...names: string[]) =>
  kilnd.engine.vms.files.writeArchive(entry.id, order, tar(...names));

describe("a copy into a VM that was never started", () => {
  it("waits beside the VM, and is written before the program starts", async () => {
    const entry = await created();
    const first = await put(entry, into("/etc"), "app.conf");
    assert.equal(first.pending, true);
    await put(entry, into("/srv"), "a", "b");
    assert.deepEqual(await waiting(kilnd.world, entry), [
      "00000001.json",
      "00000001.tar",
      "00000002.json",
      "00000002.tar",
    ]);
    await kilnd.engine.vms.start(entry.id);
    const { guest } = lastVmm(kilnd.world);
    assert.deepEqual(await arrived(kilnd.world), ["/etc: app.conf", "/srv: a b"]);
    assert.deepEqual(
      guest.archives.map(({ phase }) => phase),
      [Phase.HELD, Phase.HELD],
    );
    assert.deepEqual(guest.calls, ["sync", "startProgram"]);
    assert.equal(entry.state, "running");
    assert.deepEqual(await waiting(kilnd.world, entry), [], "written once");
  });

  it("holds no boot that nothing waits for", async () => {
    const entry = await created();
    await kilnd.engine.vms.start(entry.id);
    assert.equal(lastVmm(kilnd.world).guest.boot?.hold, false);
    assert.deepEqual(lastVmm(kilnd.world).guest.calls, []);
  });

  it("goes at once where the VM runs", async () => {
    const entry = await created();
    await kilnd.engine.vms.start(entry.id);
    assert.equal((await put(entry, into("/etc"), "app.conf")).pending, false);
    assert.deepEqual(await arrived(kilnd.world), ["/etc: app.conf"]);
  });

  it("outlives kilnd, and half of one is removed", async () => {
    const entry = await created();
    await put(entry, into("/etc"), "app.conf");
    for (const name of ["archive.tmp-0123", "00000009.tar"]) {
      await writeFile(join(directoryOf(kilnd.world, entry), "pending", name), "x");
    }
    await kilnd.next();
    assert.deepEqual(await waiting(kilnd.world, entry), ["00000001.json", "00000001.tar"]);
    await kilnd.engine.vms.start(entry.id);
    assert.deepEqual(await arrived(kilnd.world), ["/etc: app.conf"]);
  });

  it("counts as the VM's disk, and goes with the VM", async () => {
    const entry = await created();
    const before =
      (await kilnd.engine.system.diskUsage()).rows.find(({ type }) => type === "vms")?.sizeBytes ?? 0;
    await put(entry, into("/etc"), "app.conf");
    const { rows, leaks } = await kilnd.engine.system.diskUsage();
    const after = rows.find(({ type }) => type === "vms")?.sizeBytes ?? 0;
    assert.ok(after > before, `${after} > ${before}`);
    assert.deepEqual(leaks, []);
    await kilnd.engine.vms.remove(entry.id, false);
    assert.deepEqual(await readdir(join(kilnd.world.root, "data/vms")), []);
  });
});

describe("a copy into a VM that has ended", () => {
  it("is written at its next start", async () => {
    const entry = await created();
    await kilnd.engine.vms.start(entry.id);
    await kilnd.engine.vms.stop(entry.id);
    assert.equal((await put(entry, into("/etc"), "app.conf")).pending, true);
    await kilnd.engine.vms.start(entry.id);
    assert.deepEqual(await arrived(kilnd.world), ["/etc: app.conf"]);
  });

  it("does not make it readable", async () => {
    const entry = await created();
    await put(entry, into("/etc"), "app.conf");
    await assert.rejects(kilnd.engine.vms.files.stat(entry.id, "/etc/app.conf"), (error) =>
      hasReason(error, "vm-created"),
    );
    await assert.rejects(kilnd.engine.vms.files.readArchive(entry.id, "/etc", false).next(), (error) =>
      hasReason(error, "vm-created"),
    );
  });
});

describe("a start that files wait for", () => {
  it("drops what the guest refuses, whatever its words", async () => {
    const onArchive = () => {
      throw new ConnectError("Device or resource busy", ConnectCode.Internal);
    };
    kilnd.world.behaviours = [{ onArchive }, {}];
    const entry = await created();
    await put(entry, into("/etc"), "hosts");
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => hasReason(error, "copy-refused"));
    assert.deepEqual(await waiting(kilnd.world, entry), []);
    await kilnd.engine.vms.start(entry.id);
    assert.equal(entry.state, "running");
  });

  it("drops nothing where it is the host's disk that fails", async () => {
    const entry = await created();
    await put(entry, copy("f", "/srv/new"), "copy");
    const pending = join(directoryOf(kilnd.world, entry), "pending");
    class Trap extends Map<string, number> {
      override get(): undefined {
        renameSync(pending, `${pending}-gone`); // where the copy goes can't be written down
      }
    }
    kilnd.world.behaviours = [{ tree: new Trap() }];
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => {
      assert.ok(!hasReason(error, "copy-refused"), String(error));
      return true;
    });
    renameSync(`${pending}-gone`, pending);
    assert.deepEqual(await waiting(kilnd.world, entry), ["00000001.json", "00000001.tar"]);
  });

  it("is refused where an archive was torn, and says which", async () => {
    const entry = await created();
    await put(entry, into("/etc"), "app.conf");
    await truncate(join(directoryOf(kilnd.world, entry), "pending/00000001.tar"), 512);
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => {
      assert.ok(hasReason(error, "pending-damaged"));
      assert.match(String(error), /pending\/00000001\.tar/);
      return true;
    });
    assert.equal(kilnd.world.vmms.length, 0, "no VMM for it");
  });

  it("is refused by an agent that knows no hold", async () => {
    kilnd.world.behaviours = [{ holdsNothing: true }];
    const entry = await created();
    await put(entry, into("/etc"), "app.conf");
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => hasReason(error, "agent-too-old"));
    assert.deepEqual(await waiting(kilnd.world, entry), ["00000001.json", "00000001.tar"]);
  });

  for (const [where, phase, names] of [
    ["before its hold", Phase.BOOTING, ["app.conf"]],
    ["in its hold", Phase.HELD, ["app.conf"]],
    ["when all was in", Phase.HELD, []],
  ] as const) {
    it(`is finished by the next kilnd where the last one was killed ${where}`, async () => {
      const entry = await created();
      await kilnd.engine.vms.start(entry.id);
      const { guest } = lastVmm(kilnd.world);
      await kilnd.engine.close();
      guest.phase = phase;
      const status = JSON.stringify({ ...entry.status, state: "starting" });
      await writeFile(join(directoryOf(kilnd.world, entry), "status.json"), status);
      const pending = new PendingCopies(entry.name, directoryOf(kilnd.world, entry));
      for (const name of names) {
        await pending.add(await pending.receive(tar(name), async () => undefined), into("/etc"));
      }
      await kilnd.start();
      assert.equal(kilnd.engine.entry(entry.id).state, "running");
      assert.deepEqual(
        await arrived(kilnd.world),
        names.map((name) => `/etc: ${name}`),
      );
      assert.equal(guest.calls.at(-1), "startProgram");
      assert.deepEqual(await pending.list(), []);
    });
  }
});

describe("what may wait", () => {
  it("is bounded in number", async () => {
    const entry = await created();
    await put(entry, into("/etc"), "app.conf");
    for (let number = 2; number <= MOST_COPIES; number++) {
      const name = String(number).padStart(8, "0");
      await writeFile(join(directoryOf(kilnd.world, entry), "pending", `${name}.json`), "{}");
    }
    await assert.rejects(put(entry, into("/etc"), "more"), (error) => hasReason(error, "too-many-copies"));
    assert.equal((await waiting(kilnd.world, entry)).length, MOST_COPIES + 1, "nothing of it is left");
  });

  it("is bounded in bytes", async () => {
    const entry = await created();
    await put(entry, into("/etc"), "app.conf");
    // A hole: it takes no room.
    await truncate(join(directoryOf(kilnd.world, entry), "pending/00000001.tar"), MOST_BYTES);
    await assert.rejects(put(entry, into("/etc"), "more"), (error) => hasReason(error, "too-many-copies"));
  });

  it("leaves the host's disk its reserve", async () => {
    const entry = await created();
    kilnd.world.freeDisk = 1;
    await assert.rejects(put(entry, into("/etc"), "more"), (error) => hasReason(error, "host-disk-full"));
    assert.deepEqual(await waiting(kilnd.world, entry), []);
  });

  it("is whole: a client that breaks off leaves nothing", async () => {
    const entry = await created();
    const broken = (async function* () {
      yield* tar("half");
      throw new KilnError(Code.Cancelled, "the client has gone", { reason: "cancelled" });
    })();
    await assert.rejects(kilnd.engine.vms.files.writeArchive(entry.id, into("/etc"), broken), (error) =>
      hasReason(error, "cancelled"),
    );
    assert.deepEqual(await waiting(kilnd.world, entry), []);
  });

  for (const [what, meanwhile, reason] of [
    ["started", (entry: VmEntry) => kilnd.engine.vms.start(entry.id), "vm-running"],
    ["removed", (entry: VmEntry) => kilnd.engine.vms.remove(entry.id, false), "vm-not-found"],
  ] as const) {
    it(`is refused where the VM was ${what} while it came in`, async () => {
      const entry = await created();
      const begun = deferred<void>();
      const done = deferred<void>();
      const slow = (async function* () {
        begun.resolve();
        await done.promise;
        yield* tar("late");
      })();
      const writing = kilnd.engine.vms.files.writeArchive(entry.id, into("/etc"), slow);
      writing.catch(() => undefined);
      await begun.promise;
      await meanwhile(entry);
      done.resolve();
      await assert.rejects(writing, (error) => hasReason(error, reason));
      const left = await readdir(join(kilnd.world.root, "data/vms"), { recursive: true });
      assert.deepEqual(
        left.filter((name) => name.includes("pending/")),
        [],
      );
    });
  }

  it("may be for the one run of a --rm VM", async () => {
    const entry = await created({ autoRemove: true });
    await put(entry, into("/etc"), "app.conf");
    await kilnd.engine.vms.start(entry.id);
    assert.deepEqual(await arrived(kilnd.world), ["/etc: app.conf"]);
  });
});

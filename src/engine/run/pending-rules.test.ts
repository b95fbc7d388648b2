// Where a copy lands that waits for a VM's start: docker's rules, once the guest can be asked.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import {
  configOf,
  createWorld,
  destroyWorld,
  type FakeVmm,
  startEngine,
  type World,
} from "../../../test/fixtures/fake-rooms.js";
import type { OpenEngine } from "../../../test/fixtures/open-engine.js";
import { arrived, copy, into, tar, tree, waiting } from "../../../test/fixtures/pending-archives.js";
import { hasReason, KilnError } from "../../base/errors.js";
import type { VmEntry } from "../vm/entry.js";
import type { CopyOrder } from "./pending-copies.js";

let world: World;
let engine: OpenEngine;
beforeEach(async () => {
  world = await createWorld();
  engine = await startEngine(world);
});
afterEach(async () => {
  await engine.close();
  await destroyWorld(world);
});

const created = () => engine.make({ config: configOf(), pull: "missing" });

const put = (entry: VmEntry, order: CopyOrder, ...names: string[]) =>
  engine.vms.files.writeArchive(entry.id, order, tar(...names));

describe("docker's rules for a copy that waits", () => {
  for (const [source, target, there, lands] of [
    ["f", "/srv", tree("/srv/"), "/srv: f"],
    ["f", "/srv/new", tree("/srv/"), "/srv: new"],
    ["f", "/srv/old", tree("/srv/", "/srv/old"), "/srv: old"],
    ["d/", "/srv", tree("/srv/"), "/srv: d d/x"],
    ["d/", "/srv/new", tree("/srv/"), "/srv: new new/x"],
    ["d/.", "/srv", tree("/srv/"), "/srv: x"],
    ["d/.", "/srv/new", tree("/srv/"), "/srv: new new/x"],
  ] as const) {
    it(`put ${source} for ${target} into ${lands}`, async () => {
      world.behaviours = [{ tree: there }];
      const entry = await created();
      await put(entry, copy(source, target), ...(source === "f" ? ["copy"] : ["copy/", "copy/x"]));
      await engine.vms.start(entry.id);
      assert.deepEqual(await arrived(world), [lands]);
    });
  }

  it("are those of a VM that runs", async () => {
    world.behaviours = [{ tree: tree("/srv/") }];
    const entry = await created();
    await engine.vms.start(entry.id);
    await put(entry, copy("d/", "/srv"), "copy/", "copy/x");
    assert.deepEqual(await arrived(world), ["/srv: d d/x"]);
  });

  it("are asked once: a start that is repeated puts the copy where the first began to", async () => {
    // What the first start has made of the name "new" is there at the second.
    const onArchive = (guest: FakeVmm["guest"]) => {
      guest.cut("the channel broke");
      throw new ConnectError("the channel broke", ConnectCode.Unavailable);
    };
    world.behaviours = [{ tree: tree("/srv/"), onArchive }, { tree: tree("/srv/", "/srv/new/") }];
    const entry = await created();
    await put(entry, copy("d/", "/srv/new"), "copy/", "copy/x");
    await assert.rejects(engine.vms.start(entry.id));
    assert.deepEqual(await waiting(world, entry), ["00000001.json", "00000001.tar"], "it waits on");
    await engine.vms.start(entry.id);
    assert.deepEqual(await arrived(world), ["/srv: new new/x"]);
    assert.deepEqual(await waiting(world, entry), []);
  });

  it("refuse the start, once, where they refuse the copy", async () => {
    world.behaviours = [{ tree: tree("/srv/", "/srv/old") }];
    const entry = await created();
    await put(entry, copy("f", "/srv"), "copy");
    await put(entry, copy("d/", "/srv/old"), "copy/");
    await assert.rejects(engine.vms.start(entry.id), (error) => {
      assert.ok(error instanceof KilnError);
      assert.equal(error.reason, "copy-refused");
      assert.match(error.message, /\/srv\/old.*not a directory/s);
      return true;
    });
    assert.equal(entry.state, "failed");
    assert.deepEqual(await waiting(world, entry), ["00000001.json", "00000001.tar"], "the other waits on");
    await engine.vms.start(entry.id);
    assert.deepEqual(await arrived(world), ["/srv: f"]);
  });

  it("say which directory is missing, and how it is made, of a VM that runs too", async () => {
    const onArchive = () => {
      throw new ConnectError("No such file or directory", ConnectCode.NotFound);
    };
    const behaviour = { tree: tree("/", "/srv/", "/srv/file"), onArchive };
    world.behaviours = [{ tree: behaviour.tree }, behaviour];
    const entry = await created();
    await engine.vms.start(entry.id);
    await engine.vms.restart(entry.id);
    const refusals: [CopyOrder, string, RegExp, RegExp][] = [
      [into("/none"), "no-such-directory", /VM .*: there is no directory \/none$/, /mkdir -p \/none$/],
      [copy("f", "/none/x"), "no-such-directory", /there is no directory \/none$/, /mkdir -p \/none$/],
      [into("/srv/file"), "not-a-directory", /\/srv\/file is not a directory$/, /^$/],
      // The agent means something else.
      [into("/srv"), "guest-not-found", /No such file or directory$/, /^$/],
    ];
    for (const [order, reason, message, hint] of refusals) {
      await assert.rejects(put(entry, order, "copy"), (error) => {
        assert.ok(error instanceof KilnError);
        assert.equal(error.reason, reason);
        assert.match(error.message, message);
        assert.match(error.hint ?? "", hint);
        return true;
      });
    }
  });

  it("take no name that would lead elsewhere", async () => {
    const entry = await created();
    for (const name of ["..", ".", "", "a/b", "a\0b", "x".repeat(256)]) {
      const order = { ...into("/srv"), copy: { name, isDirectory: true, contents: false } };
      await assert.rejects(put(entry, order, "copy/"), (error) => hasReason(error, "bad-path"), name);
    }
    await assert.rejects(put(entry, into("srv"), "a"), (error) => hasReason(error, "bad-path"));
  });
});

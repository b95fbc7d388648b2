// Where a copy lands that waits for a VM's start: docker's rules, once the guest can be asked.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import type { FakeVmm } from "../../../test/fixtures/fake-rooms.js";
import { arrived, copy, into, tar, tree, waiting } from "../../../test/fixtures/pending-archives.js";
import { hasReason, KilnError } from "../../base/errors.js";
import type { VmEntry } from "../vm/entry.js";
import type { CopyOrder } from "./pending-copies.js";

const kilnd = engineCase();

const created = () => kilnd.create();

const put = (entry: VmEntry, order: CopyOrder, ...names: string[]) =>
  kilnd.engine.vms.files.writeArchive(entry.id, order, tar(...names));

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
      kilnd.world.behaviours = [{ tree: there }];
      const entry = await created();
      await put(entry, copy(source, target), ...(source === "f" ? ["copy"] : ["copy/", "copy/x"]));
      await kilnd.engine.vms.start(entry.id);
      assert.deepEqual(await arrived(kilnd.world), [lands]);
    });
  }

  it("are those of a VM that runs", async () => {
    kilnd.world.behaviours = [{ tree: tree("/srv/") }];
    const entry = await created();
    await kilnd.engine.vms.start(entry.id);
    await put(entry, copy("d/", "/srv"), "copy/", "copy/x");
    assert.deepEqual(await arrived(kilnd.world), ["/srv: d d/x"]);
  });

  it("are asked once: a start that is repeated puts the copy where the first began to", async () => {
    // What the first start has made of the name "new" is there at the second.
    const onArchive = (guest: FakeVmm["guest"]) => {
      guest.cut("the channel broke");
      throw new ConnectError("the channel broke", ConnectCode.Unavailable);
    };
    kilnd.world.behaviours = [{ tree: tree("/srv/"), onArchive }, { tree: tree("/srv/", "/srv/new/") }];
    const entry = await created();
    await put(entry, copy("d/", "/srv/new"), "copy/", "copy/x");
    await assert.rejects(kilnd.engine.vms.start(entry.id));
    assert.deepEqual(await waiting(kilnd.world, entry), ["00000001.json", "00000001.tar"], "it waits on");
    await kilnd.engine.vms.start(entry.id);
    assert.deepEqual(await arrived(kilnd.world), ["/srv: new new/x"]);
    assert.deepEqual(await waiting(kilnd.world, entry), []);
  });

  it("refuse the start, once, where they refuse the copy", async () => {
    kilnd.world.behaviours = [{ tree: tree("/srv/", "/srv/old") }];
    const entry = await created();
    await put(entry, copy("f", "/srv"), "copy");
    await put(entry, copy("d/", "/srv/old"), "copy/");
    await assert.rejects(kilnd.engine.vms.start(entry.id), (error) => {
      assert.ok(error instanceof KilnError);
      assert.equal(error.reason, "copy-refused");
      assert.match(error.message, /\/srv\/old.*not a directory/s);
      return true;
    });
    assert.equal(entry.state, "failed");
    assert.deepEqual(
      await waiting(kilnd.world, entry),
      ["00000001.json", "00000001.tar"],
      "the other waits on",
    );
    await kilnd.engine.vms.start(entry.id);
    assert.deepEqual(await arrived(kilnd.world), ["/srv: f"]);
  });

  it("say which directory is missing, and how it is made, of a VM that runs too", async () => {
    const onArchive = () => {
      throw new ConnectError("No such file or directory", ConnectCode.NotFound);
    };
    const behaviour = { tree: tree("/", "/srv/", "/srv/file"), onArchive };
    kilnd.world.behaviours = [{ tree: behaviour.tree }, behaviour];
    const entry = await created();
    await kilnd.engine.vms.start(entry.id);
    await kilnd.engine.vms.restart(entry.id);
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

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { hasReason } from "../../base/errors.js";
import { NO_MOUNT } from "../../base/mounts.js";
import type { ShareMount } from "../../gen/kiln/agent/v1/mount_pb.js";
import { mountOf } from "../vm/mount-config.js";
import { VmView } from "../vm/view.js";

const kilnd = engineCase();
const BIND = mountOf({ ...NO_MOUNT, type: "bind", source: "/srv/www", target: "/www", soft: true });
const FEATURES = ["workloads", "disk-serial", "mounts"];

async function running() {
  kilnd.world.behaviours = [{ features: FEATURES }];
  return await kilnd.running({ mounts: [BIND] });
}

describe("a shared directory of a VM", () => {
  it("is served before the guest runs, and told to it by its port", async () => {
    const { vmm } = await running();
    assert.deepEqual([...kilnd.world.shared.keys()], ["/srv/www"]);
    const [mount] = vmm.guest.boot?.mounts ?? [];
    const { port, soft, realIds } = (mount?.source.value ?? {}) as Partial<ShareMount>;
    assert.deepEqual([mount?.target, mount?.source.case, soft, realIds], ["/www", "share", true, false]);
    assert.equal(port, `kiln.port.${mount?.id}`);
    assert.deepEqual(vmm.spec.ports, [{ id: mount?.id }]);
  });

  it("is shown away while nobody serves it, with why, and told in events", async () => {
    const { entry } = await running();
    const shown = () => new VmView(entry).mounts.map(({ state, message }) => [state, message]);
    const share = kilnd.world.shared.get("/srv/www") ?? assert.fail("nobody serves it");
    share.tell({ away: true, message: "SIGKILL ended it" });
    assert.deepEqual(shown(), [["away", "SIGKILL ended it"]]);
    share.tell({ away: false, message: "it is served again" });
    assert.deepEqual(shown(), [["attached", ""]]);
    const told: (string | undefined)[][] = [];
    for await (const { action, attributes } of kilnd.engine.events.read({ after: 0n })) {
      if (action === "share") told.push([attributes.state, attributes.why]);
      if (told.length === 2) break;
    }
    assert.deepEqual(told, [
      ["away", "SIGKILL ended it"],
      ["back", undefined],
    ]);
  });

  it("mistrusts links wherever a guest may write, of this VM or of another one that is on record", async () => {
    const away = { ...BIND, source: "/srv/proj", target: "/proj" };
    await kilnd.create({ mounts: [away, { ...away, source: "/srv/read", target: "/read", readOnly: true }] });
    const { entry } = await running();
    const places = kilnd.world.specs
      .get("/srv/www")
      ?.guestPlaces?.()
      .map(({ path }) => path);
    assert.deepEqual(places?.sort(), ["/srv/proj", "/srv/www"]);
    assert.equal(kilnd.world.specs.get("/srv/www")?.guestPlaces?.().at(-1)?.vm, entry.name);
  });

  it("is counted, and named with those who have it", async () => {
    const { entry } = await running();
    await kilnd.create({
      name: "other",
      mounts: [BIND, mountOf({ ...NO_MOUNT, source: "data", target: "/d" })],
    });
    const { rows, items } = await kilnd.engine.system.diskUsage({ items: true });
    const row = rows.find(({ type }) => type === "shares");
    assert.deepEqual([row?.total, row?.active, row?.sizeBytes], [2, 1, 0]);
    const found = items.filter(({ type }) => ["shares", "volumes", "images"].includes(type));
    assert.deepEqual(
      found.map(({ name, vms }) => [name, vms]),
      [
        [kilnd.world.image.names[0] ?? "", [entry.name, "other"]],
        ["data", ["other"]],
        ["/srv/www", [entry.name, "other"]],
      ],
    );
    assert.deepEqual(items.find(({ name }) => name === "other")?.type, "vms");
  });

  it("is let go of when the VM has ended, and found again by the next kilnd", async () => {
    const { entry } = await running();
    await kilnd.next();
    assert.deepEqual([...kilnd.world.shared.keys()], ["/srv/www"]);
    await kilnd.engine.vms.kill(entry.id);
    assert.deepEqual([...kilnd.world.shared.keys()], []);
  });

  it("is not away for the next kilnd where its directory was moved and its server goes on", async () => {
    const { entry } = await running();
    kilnd.world.moved.add("/srv/www");
    await kilnd.next();
    const found = kilnd.engine.vms.find(entry.id);
    assert.deepEqual(
      found.mounts.map(({ state, message }) => [state, message]),
      [["attached", ""]],
    );
  });

  it("that is not there makes no VM, and starts none where it has gone since", async () => {
    kilnd.world.behaviours = [{ features: FEATURES }];
    const making = kilnd.create({ mounts: [{ ...BIND, source: "/missing" }] });
    await assert.rejects(making, (error) => hasReason(error, "share-source-missing"));
    assert.deepEqual(kilnd.engine.entries(true, []), []);
    const entry = await kilnd.create({ mounts: [BIND] });
    kilnd.world.moved.add(BIND.source);
    const start = kilnd.engine.vms.start(entry.id);
    await assert.rejects(start, (error) => hasReason(error, "share-source-missing"));
    assert.deepEqual([...kilnd.world.shared.keys()], []);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { configOf } from "../../../test/fixtures/fake-rooms.js";
import { hasReason } from "../../base/errors.js";

const kilnd = engineCase();
const make = (name: string) =>
  kilnd.engine.vms.create({ config: configOf({ name, labels: { tier: "front" } }), pull: "missing" });

describe("a view of a VM", () => {
  it("shows what it is now, also after its removal", async () => {
    const { vms } = kilnd.engine;
    const view = await make("urn");
    assert.deepEqual([view.name, view.state, view.mode], ["urn", "created", "app"]);
    await vms.start("urn");
    assert.equal(view.state, "running");
    await vms.remove(view.id.slice(0, 12), true);
    assert.deepEqual([view.state, view.status.state, view.config.name], ["exited", "exited", "urn"]);
  });

  it("lets nobody change it, and holds nothing that could be reached", async () => {
    const view = await make("urn");
    for (const name of ["id", "name", "state", "config", "status", "log", "note"])
      assert.throws(() => Object.assign(view, { [name]: "other" }), TypeError, name);
    assert.deepEqual([Reflect.ownKeys(view), view.state], [[], "created"]);
  });
});

describe("a key", () => {
  it("is a full id, a name or a unique prefix; what it does not name is not found, by any verb", async () => {
    const { vms } = kilnd.engine;
    const { id } = await make("urn");
    for (const key of [id, "urn", id.slice(0, 12)]) assert.equal(vms.find(key).id, id);
    const unknown = (error: unknown) => hasReason(error, "vm-not-found");
    assert.throws(() => vms.find("nobody"), unknown);
    for (const verb of ["start", "stop", "restart", "kill", "pause", "unpause"] as const)
      await assert.rejects(vms[verb]("nobody"), unknown, verb);
    await assert.rejects(vms.remove("nobody", true), unknown);
    await assert.rejects(vms.wait("nobody", "exited"), unknown);
    await assert.rejects(kilnd.engine.vms.files.stat("nobody", "/"), unknown);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { UndoStack } from "../../base/undo.js";
import type { VmmCapabilities } from "../../vmm/types.js";
import { attachmentsOf } from "../attach/kinds.js";
import type { AttachNeeds } from "../attach/types.js";
import { planBoot, planSpec } from "./boot-plan.js";
import { VM_RECORD } from "./record.js";

const RECORD = v.parse(VM_RECORD.schema, {
  ...{ version: 1, id: "a".repeat(64), base: "b".repeat(64) },
  config: { network: "none" },
});
const CAPABILITIES = { poweroffExits: true, userNetwork: true } as VmmCapabilities;
const NEEDS = {
  bases: { path: () => "/base", find: async () => ({ key: "", sizeBytes: 0 }) },
  store: { cowPath: () => "/cow" },
  rooms: { images: { find: () => undefined }, disks: { checkCow: async () => undefined } },
} as unknown as AttachNeeds;

async function attached(modules: string | undefined) {
  const set = attachmentsOf(
    {
      record: RECORD,
      ports: [],
      onNetwork: () => undefined,
      onShare: () => undefined,
      guestPlaces: () => [],
    },
    NEEDS,
    assert.fail,
  );
  await set.acquire("prepare", {}, new UndoStack());
  return { set, planned: set.plan({ capabilities: CAPABILITIES, modules }) };
}

async function bootWith(serials: ReadonlyMap<string, string>, modules: string | undefined = "/modules") {
  const { set, planned } = await attached(modules);
  return planBoot({
    ...{ record: RECORD, capabilities: CAPABILITIES, nowMs: 1000, entropy: new Uint8Array(64) },
    ...{ initPatienceMs: 0, hold: false },
    attached: set.guest({ capabilities: CAPABILITIES, disks: planned.disks, serials }),
  });
}

describe("the disks that a boot names", () => {
  it("bear the serials that the VMM tells, and the devices that an agent of before goes by", async () => {
    const serials = new Map([
      ["base", "6476801835021"],
      ["cow", "6476801835022"],
      ["modules", "m"],
    ]);
    const { root, modules } = await bootWith(serials);
    assert.deepEqual(
      [root?.baseDevice, root?.cowDevice, modules?.device],
      ["/dev/vda", "/dev/vdb", "/dev/vdc"],
    );
    assert.deepEqual(
      [root?.baseSerial, root?.cowSerial, modules?.serial],
      ["6476801835021", "6476801835022", "m"],
    );
  });

  it("are those of the VMM, in the order of their devices", async () => {
    const { planned } = await attached("/modules");
    const { disks } = planSpec({
      ...{ record: RECORD, runDirectory: "/run/vm", stateDirectory: "/state/vm" },
      ...{
        kernel: "/kernel",
        initrd: "/initrd",
        disks: planned.disks.specs,
        cards: planned.cards,
        ports: [],
      },
    });
    assert.deepEqual(
      disks.map(({ id, path, readOnly }) => [id, path, readOnly]),
      [
        ["base", "/base", true],
        ["cow", "/cow", false],
        ["modules", "/modules", true],
      ],
    );
  });

  it("have no serial where the VMM does not tell it", async () => {
    const { root, modules } = await bootWith(new Map([["cow", "c"]]));
    assert.deepEqual([root?.baseSerial, root?.cowSerial, modules?.serial], ["", "c", ""]);
    const without = await attached(undefined);
    assert.equal(without.planned.disks.modules, undefined);
    assert.equal(
      without.set.guest({ capabilities: CAPABILITIES, disks: without.planned.disks, serials: new Map() })
        .modules,
      undefined,
    );
  });
});

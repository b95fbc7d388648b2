import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { type BootFacts, planBoot, planSpec } from "./boot-plan.js";
import { VM_RECORD } from "./record.js";

function factsOf(over: Partial<BootFacts> = {}): BootFacts {
  return {
    record: v.parse(VM_RECORD.schema, { version: 1, id: "a".repeat(64) }),
    ...{ runDirectory: "/run/vm", stateDirectory: "/state/vm", kernel: "/kernel", initrd: "/initrd" },
    ...{ base: "/base", cow: "/cow", modules: "/modules" },
    capabilities: {
      ...{ accelerator: "tcg", pauseResume: true, balloon: true, userNetwork: true, poweroffExits: true },
      ...{ maxVcpus: 8, maxMemoryBytes: 1 << 30, maxDisks: 64 },
    },
    serials: new Map(),
    ...{ nowMs: 1000, entropy: new Uint8Array(64), initPatienceMs: 0, hold: false },
    ...over,
  } as BootFacts;
}

describe("the disks that a boot names", () => {
  it("bear the serials that the VMM tells, and the devices that an agent of before goes by", () => {
    const serials = new Map([
      ["base", "6476801835021"],
      ["cow", "6476801835022"],
      ["modules", "m"],
    ]);
    const { root, modules } = planBoot(factsOf({ serials }));
    assert.deepEqual(
      [root?.baseDevice, root?.cowDevice, modules?.device],
      ["/dev/vda", "/dev/vdb", "/dev/vdc"],
    );
    assert.deepEqual(
      [root?.baseSerial, root?.cowSerial, modules?.serial],
      ["6476801835021", "6476801835022", "m"],
    );
  });

  it("are those of the VMM, in the order of their devices", () => {
    assert.deepEqual(
      planSpec(factsOf()).disks.map(({ id }) => id),
      ["base", "cow", "modules"],
    );
  });

  it("have no serial where the VMM does not tell it", () => {
    const { root, modules } = planBoot(factsOf({ serials: new Map([["cow", "c"]]) }));
    assert.deepEqual([root?.baseSerial, root?.cowSerial, modules?.serial], ["", "c", ""]);
    assert.equal(planBoot(factsOf({ modules: undefined })).modules, undefined);
  });
});

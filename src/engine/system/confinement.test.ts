// What `kiln info` says of the jail and the cgroups: which parts hold, and in a warning what follows where one does not.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineCase } from "../../../test/fixtures/engine-case.js";

const NONE = { holds: false, way: "user", why: "no namespaces", hint: "allow them" } as const;

describe("confinement", () => {
  const kilnd = engineCase();

  async function told() {
    const { confinement, warnings } = await kilnd.engine.system.info();
    const parts = confinement.map(({ part, holds, why }) => `${part} ${holds}: ${why}`);
    return { parts, warnings: warnings.filter((text) => /jail/i.test(text)) };
  }

  it("that holds is told part by part, without a warning", async () => {
    const place = { version: 1, parents: [] } as const;
    kilnd.world.confinement = {
      ...kilnd.world.confinement,
      cgroups: { place, controllers: ["memory", "pids"], why: "version 1: memory, pids" },
    };
    assert.deepEqual(await told(), {
      parts: [
        "jail true: a jail of nothing",
        "cgroup true: version 1: memory, pids",
        "qemu's files true: no programs but its own",
      ],
      warnings: [],
    });
  });

  it("that can't be had is told with why, what follows and what to do", async () => {
    kilnd.world.confinement = { ...kilnd.world.confinement, jail: NONE };
    const { parts, warnings } = await told();
    assert.deepEqual(parts, ["jail false: no namespaces", "cgroup false: no cgroup"]);
    assert.deepEqual(warnings, [
      "VMs under QEMU can't be started: no jail can be made: no namespaces (allow them)",
    ]);
  });

  it("that was given up by name is warned of in capitals", async () => {
    kilnd.world.confinement = { ...kilnd.world.confinement, jail: NONE, unconfinedAllowed: true };
    const { parts, warnings } = await told();
    assert.ok(parts.includes("jail false: no namespaces"));
    assert.match(warnings.join(), /^VMMs run WITHOUT A JAIL, as allow-unconfined says: .*no namespaces/);
  });
});

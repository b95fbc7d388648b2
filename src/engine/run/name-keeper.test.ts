import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { eventually } from "../../../test/fixtures/bridge-guests.js";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { orderOf } from "../../../test/fixtures/network-case.js";
import { attachmentOf } from "../vm/network-config.js";

const kilnd = engineCase();
const FEATURES = ["workloads", "names"];
beforeEach(() => {
  kilnd.world.behaviours = Array.from({ length: 8 }, () => ({ features: FEATURES }));
});

const lan = (aliases: string[] = []) => attachmentOf({ name: "cni:lan", ip: "", ip6: "", mac: "", aliases });

async function started(name: string, address: string, aliases: string[] = []) {
  kilnd.world.cni?.addresses.set(name, [`${address}/24`]);
  const entry = await kilnd.create({ name, network: "none", networks: [lan(aliases)] });
  await kilnd.engine.vms.start(name);
  const guest = kilnd.world.vmms.at(-1)?.guest ?? assert.fail();
  return { entry, guest };
}

/** "10.1.0.6 b", without ids and the network's name. */
const known = (lines: readonly string[]) =>
  lines.map((line) =>
    line
      .split(" ")
      .filter((word) => !/^[0-9a-f]{12}|\.lan$/.test(word))
      .join(" "),
  );

describe("names of other VMs in a guest", () => {
  it("are there at its start, and come and go with them", async () => {
    const a = await started("a", "10.1.0.5");
    const b = await started("b", "10.1.0.6", ["front"]);
    const boot = b.guest.boot?.names.map(({ address, names }) => [address, ...names].join(" ")) ?? [];
    assert.deepEqual(known(boot), ["10.1.0.5 a", "10.1.0.6 b front"]);
    await eventually("a knows b", () => known(a.guest.names).includes("10.1.0.6 b front"));
    await kilnd.engine.vms.kill("b");
    await eventually("a knows b no more", () => known(a.guest.names).join() === "10.1.0.5 a");
  });

  it("go with a VM of a network whose resolver is not the first, while its state is still that of one that runs", async () => {
    for (const name of ["web", "shop"]) await kilnd.engine.networks.create(orderOf(name));
    const start = async (name: string, networks: readonly string[]) => {
      const asked = networks.map((one) => attachmentOf({ name: one, ip: "", ip6: "", mac: "", aliases: [] }));
      await kilnd.create({ name, network: "none", networks: asked });
      await kilnd.engine.vms.start(name);
      return kilnd.world.vmms.at(-1)?.guest ?? assert.fail();
    };
    const a = await start("a", ["web", "shop"]);
    const knowsB = () => a.names.some((line) => / b /.test(line));
    for (const end of [() => kilnd.engine.vms.stop("b"), () => kilnd.engine.vms.kill("b")]) {
      await start("b", ["shop"]);
      await eventually("a knows b", knowsB);
      await end();
      await eventually("a knows b no more", () => !knowsB());
      await kilnd.engine.vms.remove("b", true);
    }
  });

  it("are told again by the next kilnd, of what came and went meanwhile too", async () => {
    const a = await started("a", "10.1.0.5");
    a.guest.names = ["10.1.0.9 gone"];
    await kilnd.next();
    await eventually("it is told", () => known(a.guest.names).join() === "10.1.0.5 a");
  });

  it("are told once a call that was lost is made again", async () => {
    const a = await started("a", "10.1.0.5");
    await eventually("it is told", () => a.guest.names.length === 1);
    a.guest.cut("broken");
    await started("b", "10.1.0.6");
    await eventually("a knows b", () => known(a.guest.names).includes("10.1.0.6 b"));
  });

  it("are nothing to an agent that keeps none: its VM runs on", async () => {
    kilnd.world.behaviours = [{ features: ["workloads"] }, { features: FEATURES }];
    const a = await started("a", "10.1.0.5");
    const b = await started("b", "10.1.0.6");
    await eventually("b is told", () => b.guest.names.length === 2);
    assert.deepEqual([a.guest.names, a.entry.state], [[], "running"]);
  });
});

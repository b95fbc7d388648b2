import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { type Cost, costOf } from "../../../test/fixtures/counted.js";
import { engineCase } from "../../../test/fixtures/engine-case.js";
import { NO_MOUNT } from "../../base/mounts.js";
import { mountOf } from "../vm/mount-config.js";

const [FEW, MANY] = [40, 200];
/** Of each VM. */
const MOUNTS = 10;
/** Five times as many may cost this many times as much: 25 times is what a look at all of them for each would cost. */
const MOST = 8;
/** What kilnd may do of itself meanwhile. */
const BESIDE = 50;

const KINDS = ["files", "locks", "listed", "uses"] as const;

const kilnd = engineCase();
const hears = () => {
  kilnd.world.behaviours = [{ features: ["workloads", "disk-serial", "mounts"] }];
};
beforeEach(hears);

const mount = (at: number) => mountOf({ ...NO_MOUNT, type: "volume", source: `v${at}`, target: `/v${at}` });
const upTo = (count: number) => Array.from({ length: count }, (_, at) => at);
const engine = () => kilnd.engine;

/** What each verb costs on a host with so many volumes, of which VMs that run have half. */
async function costsOn(count: number): Promise<ReadonlyMap<string, Cost>> {
  const costs = new Map<string, Cost>();
  const measure = async <T>(what: string, body: () => Promise<T>): Promise<T> => {
    const answers: T[] = [];
    costs.set(what, await costOf(async () => answers.push(await body())));
    return answers[0] as T;
  };
  await measure("create", async () => {
    for (const at of upTo(count))
      await engine().volumes.create({ name: `v${at}`, sizeBytes: 0, labels: { at: String(at) } });
  });
  const vms = upTo(count / 2 / MOUNTS);
  await measure("run VMs with them", async () => {
    for (const vm of vms) {
      const mounts = upTo(MOUNTS - 1).map((at) => mount(vm * MOUNTS + at));
      await kilnd.running({ name: `vm${vm}`, mounts });
    }
  });
  await measure("attach", async () => {
    for (const vm of vms) await engine().vms.attachVolume(`vm${vm}`, mount(vm * MOUNTS + MOUNTS - 1));
  });
  const listed = await measure("list", () => engine().volumes.list());
  assert.deepEqual(listed.map(({ writer }) => writer).filter((name) => name !== "").length, count / 2);
  const dangling = await measure("filter", () => engine().volumes.list(["dangling=true"]));
  assert.equal(dangling.length, count / 2);
  const usage = await measure("df", () => engine().system.diskUsage({ items: true }));
  assert.equal(usage.items?.filter(({ type }) => type === "volumes").length, count);
  await measure("the next kilnd", () => kilnd.next());
  assert.equal((await engine().volumes.list()).filter(({ writer }) => writer !== "").length, count / 2);
  await measure("detach", async () => {
    for (const vm of vms) await engine().vms.detachVolume(`vm${vm}`, `v${vm * MOUNTS}`);
  });
  const pruned = await measure("prune", () => engine().volumes.prune(true));
  assert.equal(pruned.names.length, count / 2 + vms.length);
  assert.equal((await engine().volumes.list()).length, count / 2 - vms.length);
  return costs;
}

describe("two hundred volumes on one host", () => {
  it("cost each what one of forty does: to make, use, list, measure, find again and remove", async (t) => {
    const few = await costsOn(FEW);
    await kilnd.end();
    await kilnd.begin();
    hears();
    await kilnd.start();
    const many = await costsOn(MANY);
    const dear: string[] = [];
    for (const [what, cost] of many) {
      const before = few.get(what);
      assert.ok(before !== undefined);
      t.diagnostic(`${what}: ${JSON.stringify(before)} of ${FEW}, ${JSON.stringify(cost)} of ${MANY}`);
      for (const kind of KINDS)
        if (cost[kind] > before[kind] * MOST + BESIDE)
          dear.push(`${what}: ${kind}: ${before[kind]}, ${cost[kind]}`);
    }
    assert.deepEqual(dear, []);
    for (const kind of KINDS)
      assert.ok(
        [...many.values()].some((cost) => cost[kind] >= MANY),
        `${kind} are counted`,
      );
  });
});

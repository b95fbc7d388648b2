// kill -9 of kilnd at its named points while networks are made, VMs are put on them, started, published, stopped and removed: on
// networks, rules, ports and CNI plugins that are real, with VMMs that are processes (networked-kilnd). What the next kilnd finds is
// what the records say, and when all is removed nothing is left.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Failpoint } from "../../src/base/failpoint.js";
import { eventually } from "../fixtures/bridge-guests.js";
import { NetworkedHost } from "../fixtures/networked-host.js";
import type { NetworkedState, Passed } from "../fixtures/networked-kilnd.js";

const HELPER_NAMES = ["helper.started", "helper.spawned", "helper.recorded", "helper.ended"] as const;
/** All that it passes of networks: with those of a user's own place 63. */
const NAMES: readonly Failpoint[] = [
  ...(["network.create.begun", "network.create.filled", "network.create.renamed"] as const),
  ...(["network.noted", "network.forwards", "network.ruled", "network.linked", "network.told"] as const),
  ...(["network.leased", "network.named", "network.card", "network.joined", "network.left"] as const),
  ...(["network.unjoined", "network.unnamed", "network.unlinked", "network.unruled"] as const),
  ...(["network.forgotten", "network.remove.renamed"] as const),
  ...HELPER_NAMES,
  ...(["cni.recorded", "cni.held", "cni.added", "cni.joined", "cni.linked", "cni.unplugged"] as const),
  ...(["cni.deleted", "cni.forgotten"] as const),
  ...([
    "kept.first",
    "port.bound",
    "port.led",
    "port.kept",
    "port.dropped",
    "port.unled",
    "port.closed",
  ] as const),
  ...(["vm.create.begun", "vm.create.filled", "vm.create.renamed", "vm.remove.renamed"] as const),
  ...(["vm.removed", "run.prepare", "run.attached", "run.spawn", "run.directories"] as const),
  ...(["run.launched", "run.noted", "run.hello", "run.setup", "run.up", "run.live"] as const),
  ...(["end.noted", "end.stored", "end.acknowledged", "end.released", "end.settled"] as const),
];
/** Of a user's own namespace. */
const PLACE_NAMES: readonly Failpoint[] = ["network.held", "network.open", "network.shut"];
/** Every time, and not the first time alone: each is of another process or plugin. */
const EACH_TIME = /^(start|rm) (helper|cni)\./;
/** Both VMs run. */
const ALL_RUN = "restart kept.first 1";
/** The first is to be started, and has no VMM. */
const NONE_RUNS = "start run.attached 1";
/** Of the kilnd that comes after one which was killed there: killed itself, while it finds and sweeps. */
const WHILE_FOUND = ["network.named", "network.adopted", "network.swept", "port.bound", "port.led"];
const WHILE_SWEPT = ["helper.ended", "network.unnamed", "network.unlinked", "network.unruled"];
const CNI_SWEPT = ["cni.unplugged", "cni.deleted", "cni.forgotten"];

/** A kilnd's end, and perhaps that of the next one. */
type Kill = readonly Passed[];

const isRoot = process.getuid?.() === 0;

describe("kill -9 of kilnd with networks", {
  skip: !isRoot && "it takes root to make hosts for tests",
}, () => {
  it("leaves what the records say, and then nothing, for root", async (t) => {
    await killAll(false, (passed) => {
      const names = new Set(passed.map(pointOf));
      assert.deepEqual(
        NAMES.filter((name) => !names.has(name)),
        [],
        "not passed",
      );
      const kills = passed.filter((one) => EACH_TIME.test(one) || isFirst(one, passed));
      t.diagnostic(`${kills.length} kills at ${new Set(kills.map(pointOf)).size} points`);
      return [
        ...kills.map((kill) => [kill]),
        ...WHILE_FOUND.map((name) => [ALL_RUN, `open ${name} 1`]),
        ...[...WHILE_SWEPT, ...CNI_SWEPT].map((name) => [NONE_RUNS, `open ${name} 1`]),
      ];
    });
  });

  it("leaves what the records say, and then nothing, for an ordinary user", async () => {
    await killAll(true, (passed) => {
      const wanted = new Set<string>([...PLACE_NAMES, ...HELPER_NAMES]);
      const kills = passed.filter(
        (one) => wanted.has(pointOf(one)) && (isFirst(one, passed) || /^start helper/.test(one)),
      );
      for (const name of PLACE_NAMES)
        assert.ok(
          kills.some((kill) => pointOf(kill) === name),
          name,
        );
      return [
        ...kills.map((kill) => [kill]),
        ...["network.adopted", "network.swept"].map((name) => [ALL_RUN, `open ${name} 1`]),
        ...["network.unnamed", "network.forgotten"].map((name) => [NONE_RUNS, `open ${name} 1`]),
      ];
    });
  });
});

/** On two hosts at a time. @param planned which kills, of what is passed where nobody is killed */
async function killAll(
  isUser: boolean,
  planned: (passed: readonly Passed[]) => readonly Kill[],
): Promise<void> {
  const over = (half: number) =>
    withHost(isUser, async (host) => {
      const kilnd = host.kilnd();
      const all = await kilnd.call<readonly Passed[]>({ call: "deeds" });
      // But for what only the first kilnd of a root does.
      const passed = all.filter((one) => !/^open | base\./.test(one));
      await kilnd.end();
      assert.deepEqual(await host.things(), []);
      // Of the first: base chains and bridges of the plugins' own stay.
      const rest = await host.rest();
      for (const kill of planned(passed).filter((_, at) => at % 2 === half))
        await killAndLook(host, kill, rest);
    });
  await Promise.all([over(0), over(1)]);
}

async function withHost(isUser: boolean, body: (host: NetworkedHost) => Promise<void>): Promise<void> {
  await using host = await NetworkedHost.open(isUser);
  await body(host);
}

/** @param rest what is on the host where nothing is left */
async function killAndLook(host: NetworkedHost, kill: Kill, rest: string): Promise<void> {
  const what = `killed at ${kill.join(", then at ")}`;
  for (const point of kill) {
    const killed = host.kilnd(point);
    const call = point.startsWith("open ") ? "open" : "deeds";
    await assert.rejects(killed.call({ call }), /the driver ended/, what);
  }
  const next = host.kilnd();
  await same(what, async () => [
    await host.things(),
    host.expected(await next.call<NetworkedState>({ call: "state" })),
  ]);
  await next.call({ call: "clear" });
  await same(`${what}, and removed`, async () => [await host.rest(), rest]);
  await next.end();
}

/** What a killed kilnd was starting ends by itself a moment later, as does what the next one finds and does not keep. */
async function same(what: string, look: () => Promise<[found: unknown, wanted: unknown]>): Promise<void> {
  const isSame = async () => {
    const [found, wanted] = await look();
    return JSON.stringify(found) === JSON.stringify(wanted);
  };
  await eventually(what, isSame).catch(async () => assert.deepEqual(...(await look()), what));
}

function pointOf(passed: Passed): string {
  return passed.split(" ")[1] ?? "";
}

function isFirst(one: Passed, all: readonly Passed[]): boolean {
  return all.find((other) => pointOf(other) === pointOf(one)) === one;
}

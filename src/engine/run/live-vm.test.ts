import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  configOf,
  createEngine,
  createFakeRooms,
  createWorld,
  destroyWorld,
  type World,
} from "../../../test/fixtures/fake-rooms.js";
import type { OpenEngine } from "../../../test/fixtures/open-engine.js";
import { Code, KilnError } from "../../base/errors.js";

let world: World;
let engine: OpenEngine;
let pumped: number;
beforeEach(async () => {
  world = await createWorld();
  pumped = 0;
  const rooms = createFakeRooms(world);
  const lies = new KilnError(Code.DataLoss, "the agent leaves bytes out", { reason: "log-gap" });
  engine = createEngine(
    world,
    {},
    {
      ...rooms,
      agent: {
        ...rooms.agent,
        pumpLogs: async (_source, from, sink) => {
          pumped++;
          await sink([{ sequence: from, stream: "stdout", timeNs: 1n, data: Buffer.from("x") }]);
          throw lies;
        },
      },
    },
  );
  await engine.open();
});
afterEach(async () => {
  await engine.close();
  await destroyWorld(world);
});

async function pumps(more: number): Promise<void> {
  const enough = pumped + more;
  while (pumped < enough) await new Promise<void>((resolve) => setImmediate(resolve));
}

describe("output that a guest sends so that it can't be stored", () => {
  it("is told of once a minute at most, be it that some of it is stored each time", async () => {
    const told = () => world.logged.filter((line) => line.includes("can't be stored")).length;
    const entry = await engine.make({ config: configOf(), pull: "missing" });
    await engine.vms.start(entry.id);
    await pumps(4);
    assert.equal(told(), 1);
    await engine.vms.kill(entry.id);
  });
});

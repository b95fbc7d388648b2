import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { worldCase } from "../../../test/fixtures/engine-case.js";
import { createEngine, createFakeRooms } from "../../../test/fixtures/fake-rooms.js";
import { Code, KilnError } from "../../base/errors.js";

let pumped: number;
const kilnd = worldCase();
beforeEach(async () => {
  pumped = 0;
  const rooms = createFakeRooms(kilnd.world);
  const lies = new KilnError(Code.DataLoss, "the agent leaves bytes out", { reason: "log-gap" });
  kilnd.engine = createEngine(
    kilnd.world,
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
  await kilnd.engine.open();
});

async function pumps(more: number): Promise<void> {
  const enough = pumped + more;
  while (pumped < enough) await new Promise<void>((resolve) => setImmediate(resolve));
}

describe("output that a guest sends so that it can't be stored", () => {
  it("is told of once a minute at most, be it that some of it is stored each time", async () => {
    const told = () => kilnd.world.logged.filter((line) => line.includes("can't be stored")).length;
    const entry = await kilnd.create();
    await kilnd.engine.vms.start(entry.id);
    await pumps(4);
    assert.equal(told(), 1);
    await kilnd.engine.vms.kill(entry.id);
  });
});

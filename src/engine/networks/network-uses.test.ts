import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeBridges } from "../../../test/fixtures/fake-bridges.js";
import { networkCase, orderOf } from "../../../test/fixtures/network-case.js";
import { hasReason } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { deferred } from "../../base/runtime.js";
import { type CardPlace, NetworkUses } from "./network-uses.js";

const on = networkCase();

/** A kilnd that starts where a VM is on a network, and that network's room. */
async function begun(retryMs: number) {
  const networks = await on.open();
  const { id } = await networks.create(orderOf("web"));
  const bridges = new FakeBridges();
  const said: string[] = [];
  const log = { error: (text: string) => said.push(text), info: (text: string) => said.push(text) };
  const deps = { bridges, networks, log: log as unknown as Logger, retryMs };
  const place = (name: string): CardPlace => ({
    networkId: id,
    card: {
      ...{ vmId: name.padEnd(64, "0"), vmName: name, index: 0, mac: "02:00:00:00:00:01" },
      ...{ ip4: "10.89.0.2", aliases: [], egress: { kind: "all" } },
    },
  });
  return { uses: new NetworkUses(deps), bridges, said, place };
}

describe("a network that is not found again", () => {
  it("is looked for until it is, with all who are on it, and told of twice", async () => {
    const { uses, bridges, said, place } = await begun(1);
    const found = deferred<void>();
    const { adopt } = bridges;
    let refusals = 2;
    bridges.adopt = async (network) => {
      if (refusals-- > 0) throw new Error("nft is away");
      await adopt.call(bridges, network);
      found.resolve();
    };
    await uses.find([place("a"), place("b")], []);
    await uses.found(place("a"));
    await found.promise;
    await uses.leave(place("a"));
    uses.close();
    assert.deepEqual(bridges.calls, ["sweep 1 0 1", "adopt web a,b", "leave web a"]);
    assert.deepEqual(said, ["a network can't be found again, and is looked for", "a network is found again"]);
  });

  it("has the ports that are published of it meanwhile, and not those that are taken back, once it is found", async () => {
    const { uses, bridges, place } = await begun(1_000_000);
    const port = (hostPort: number) => ({
      hostIp: "0.0.0.0",
      hostPort,
      vmPort: 80,
      protocol: "tcp" as const,
    });
    let ports: unknown;
    bridges.adopt = async ({ cards }) => {
      ports = cards[0]?.ports;
    };
    bridges.usable = false;
    const { card, networkId } = place("a");
    await uses.find([{ networkId, card: { ...card, ports: [port(1), port(2)] } }], []);
    await uses.publish(place("a"), port(1));
    await uses.publish(place("a"), port(3));
    await uses.unpublish(place("a"), port(2));
    assert.deepEqual(bridges.calls, []);
    bridges.usable = true;
    await uses.join(place("b"));
    await uses.publish(place("a"), port(4));
    uses.close();
    assert.deepEqual(ports, [port(1), port(3)]);
    assert.deepEqual(bridges.calls, ["up web", "join web b", "publish web a 4:80"]);
  });

  it("is looked for before another comes, who is refused where it is not there", async () => {
    const { uses, bridges, place } = await begun(1_000_000);
    bridges.usable = false;
    await uses.find([place("a")], []);
    await assert.rejects(uses.join(place("b")), (error) => hasReason(error, "no-bridge-network"));
    bridges.usable = true;
    await uses.join(place("b"));
    uses.close();
    assert.deepEqual(bridges.calls, ["adopt web a", "up web", "join web b"]);
  });
});

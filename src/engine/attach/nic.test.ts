import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as v from "valibot";
import { recordOf } from "../../../test/fixtures/fake-vmm.js";
import { formatEgress } from "../../base/egress.js";
import { UndoStack } from "../../base/undo.js";
import { userCard as madeUserCard } from "../../net/index.js";
import type { UserConnection, UserNetwork } from "../../net/types.js";
import type { CardSpec, VmmCapabilities, VmmSide } from "../../vmm/types.js";
import type { NetworkRoom, UserNetworkPlan } from "../common/rooms.js";
import { planDisks } from "../disks/disk-set.js";
import { VM_RECORD } from "../vm/record.js";
import { userCard } from "./nic.js";
import { AttachmentSet } from "./set.js";
import type { AttachNeeds } from "./types.js";

const CARD = { id: "eth0", mac: "02:00:00:00:00:01", backend: { kind: "stream" as const } };
const NETWORK: UserNetwork = {
  ...{ listen: () => () => undefined, lost: () => undefined, detach: () => undefined },
  ...{ denied: async () => 3, end: async () => undefined },
};
const PLAN: UserNetworkPlan = {
  ...{ addresses: ["10.0.2.15/24"], gateway4: "10.0.2.2", gateway6: "", mtu: 65_520 },
  dns: { servers: ["9.9.9.9"], search: [], options: [] },
};

const VMM = await recordOf(0);

function contextOf(cards: readonly CardSpec[], cardTap?: VmmSide["cardTap"]) {
  const vmm: VmmSide = {
    record: VMM,
    ports: new Map(),
    cardSocket: undefined,
    cardTap,
    onCardLost: () => () => undefined,
    join: async () => undefined,
  };
  return { spec: { cards, runDirectory: "/run/vm" }, vmm };
}

function setOf(
  network: "user" | "none",
  planUser: () => Promise<UserNetworkPlan> = async () => PLAN,
  room: Partial<NetworkRoom> = {},
  config: object = {},
) {
  const id = "a".repeat(64);
  const record = v.parse(VM_RECORD.schema, { version: 1, id, config: { network, ...config } });
  const needs = { rooms: { network: { userCard: () => CARD, planUser, ...room } } } as unknown as AttachNeeds;
  return new AttachmentSet(
    userCard(
      { record, ports: [], onNetwork: () => undefined, onShare: () => undefined, guestPlaces: () => [] },
      needs,
    ),
    assert.fail,
  );
}

function told(set: AttachmentSet, cardMtu?: number) {
  const capabilities = { cardMtu } as VmmCapabilities;
  return set.guest({ capabilities, disks: planDisks({ base: "", cow: "" }), serials: new Map() });
}

describe("the card of a VM", () => {
  it("is told to the guest with the addresses that its VMM does not know, and what the VMM carries", async () => {
    const set = setOf("user");
    await set.acquire("launch", contextOf([CARD]), new UndoStack());
    const { interfaces, dns } = told(set, 9000);
    assert.deepEqual(
      interfaces?.map(({ mac, name, addresses, mtu }) => [mac, name, addresses, mtu]),
      [[CARD.mac, "eth0", ["10.0.2.15/24"], 9000]],
    );
    assert.deepEqual(dns?.servers, ["9.9.9.9"]);
    assert.equal(told(set).interfaces?.[0]?.mtu, 1500);
  });

  it("is told which domains to search and which options to take, instead of the host's", async () => {
    const host = { ...PLAN, dns: { servers: ["9.9.9.9"], search: ["host.example"], options: ["ndots:1"] } };
    const dnsOf = async (config: object) => {
      const set = setOf("user", async () => host, {}, config);
      await set.acquire("launch", contextOf([CARD]), new UndoStack());
      return told(set).dns;
    };
    assert.deepEqual(await dnsOf({}), host.dns);
    const asked = await dnsOf({ dnsSearch: ["a.example", "b.example"], dnsOptions: ["ndots:5", "use-vc"] });
    assert.deepEqual(asked?.search, ["a.example", "b.example"]);
    assert.deepEqual(asked?.options, ["ndots:5", "use-vc"]);
    assert.deepEqual(await dnsOf({ dnsSearch: ["."] }), { ...host.dns, search: [] });
  });

  it("is none where the VMM has none, and the guest is told of none", async () => {
    for (const set of [setOf("user"), setOf("none")]) {
      await set.acquire("launch", contextOf([]), new UndoStack());
      assert.deepEqual(told(set), { interfaces: [], mounts: [] });
    }
  });

  it("that is a tap is connected by who has it, at a start and after a takeover, and by nobody for a VM without", async () => {
    const { backend } = madeUserCard("", "tap");
    const holder = { pid: 7, alive: () => Promise.reject(new Error("not asked")) };
    const context = contextOf([{ ...CARD, backend }], async () => holder);
    const connections: UserConnection[] = [];
    const connect = async (connection: UserConnection) => {
      connections.push(connection);
      return NETWORK;
    };
    const room = { connectUser: connect, adoptUser: connect };
    await setOf("user", undefined, room).acquire("launch", context, new UndoStack());
    const policy = { egress: "10.0.0.0/8" };
    await setOf("user", undefined, room, policy).adopt("launch", context, assert.fail);
    await setOf("user", undefined, room).acquire(
      "launch",
      contextOf([], context.vmm.cardTap),
      new UndoStack(),
    );
    // Nobody of the user network's connects the tap of another one.
    const named = { ...backend, on: "network" } as typeof backend;
    await setOf("user", undefined, room).acquire(
      "launch",
      contextOf([{ ...CARD, id: "net0", backend: named }], context.vmm.cardTap),
      new UndoStack(),
    );
    assert.deepEqual(
      await Promise.all(connections.map(async (one) => one.kind === "tap" && (await one.tap()))),
      [holder, holder],
    );
    const egress = connections.map((one) => formatEgress(one.egress));
    assert.deepEqual(egress, ["all", "10.0.0.0/8"]);
    assert.deepEqual([...new Set(connections.map(({ runDirectory }) => runDirectory))], ["/run/vm"]);
  });

  for (const way of ["acquire", "adopt"] as const) {
    it(`is heard to be lost while it is still being connected (${way})`, async () => {
      const heard: string[] = [];
      const listeners = new Set<() => void>();
      const network = {
        ...NETWORK,
        lost: () => void heard.push("lost"),
      };
      const connect = async () => {
        for (const lost of listeners) lost();
        return network;
      };
      const needs = { connectUser: connect, adoptUser: connect };
      const set = setOf("user", async () => PLAN, needs);
      const { spec, vmm } = contextOf([CARD]);
      const onCardLost = (listener: () => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      };
      const context = { spec, vmm: { ...vmm, cardSocket: "/run/vm/net", onCardLost } };
      if (way === "adopt") await set.adopt("launch", context, assert.fail);
      else await set.acquire("launch", context, new UndoStack());
      assert.deepEqual(heard, ["lost"]);
      await set.release();
      assert.equal(listeners.size, 0);
    });
  }

  it("that a later kilnd can't plan is no card less to a guest that is still to be told: it is not told at all", async () => {
    const set = setOf("user", () => Promise.reject(new Error("no resolv.conf")));
    await set.adopt("launch", contextOf([CARD]), assert.fail);
    assert.throws(() => told(set), /no resolv.conf/);
  });
});

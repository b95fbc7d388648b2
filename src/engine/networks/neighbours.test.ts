import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CniJoined, CniKey } from "../../net/types.js";
import type { NetworkAttachment } from "../vm/network-config.js";
import { defaultConfig } from "../vm/vm-config.js";
import { neighboursOf } from "./neighbours.js";
import type { Networks } from "./networks.js";

const ID = { a: "a".repeat(64), b: "b".repeat(64), c: "c".repeat(64) };
const NETWORKS = new Map<string, object>(
  [
    { id: "n1", name: "web", internal: false, dnsDisabled: false },
    { id: "n2", name: "db", internal: true, dnsDisabled: false },
    { id: "n3", name: "mute", internal: false, dnsDisabled: true },
  ].map((record) => [record.id, { name: record.name, record }]),
);
const CNI: Readonly<Record<string, readonly string[]>> = {
  [ID.a]: ["10.1.0.5/24", "fd01::5/64"],
  [ID.b]: ["10.1.0.6/24"],
};
/** Those whose cards have gone, whatever their records say. */
const GONE = new Set<string>();
const facts = {
  networks: { get: (id: string) => NETWORKS.get(id) } as unknown as Pick<Networks, "get">,
  networkUses: { isOn: (networkId: string, vmId: string) => !GONE.has(`${networkId} ${vmId}`) },
  cniUses: {
    joinedOf: ({ vmId }: CniKey) =>
      CNI[vmId] === undefined ? undefined : ({ addresses: CNI[vmId] } as unknown as CniJoined),
  },
};

const onCni = (aliases: string[] = []): NetworkAttachment => ({
  ...{ name: "cni:lan", networkId: "", ip: "", ip6: "", mac: "", aliases },
});
const on = (networkId: string, ip: string, aliases: string[] = []): NetworkAttachment => ({
  ...{ name: networkId, networkId, ip, ip6: "", mac: "02:00:00:00:00:01", aliases },
});
const vm = (id: keyof typeof ID, networks: NetworkAttachment[], dns: string[] = []) => ({
  id: ID[id],
  config: { ...defaultConfig("image"), name: id, networks, dns },
});
type Named = Parameters<typeof neighboursOf>[0];
const text = (one: Named, all: readonly Named[]) =>
  neighboursOf(one, () => all, facts)?.map(({ address, names }) => [address, ...names].join(" "));

describe("the names that a VM's resolver does not tell", () => {
  it("are those of all on its CNI networks, by each of their addresses, itself among them", () => {
    const [a, b, c] = [vm("a", [onCni()]), vm("b", [onCni(["front"])]), vm("c", [on("n1", "10.89.0.2")])];
    assert.deepEqual(text(a, [a, b, c]), [
      "10.1.0.5 a aaaaaaaaaaaa a.lan aaaaaaaaaaaa.lan",
      "10.1.0.6 b front bbbbbbbbbbbb b.lan front.lan bbbbbbbbbbbb.lan",
      "fd01::5 a aaaaaaaaaaaa a.lan aaaaaaaaaaaa.lan",
    ]);
    assert.equal(text(c, [a, b, c]), undefined, "its own network's resolver tells all");
  });

  it("are nothing that every machine is to itself", () => {
    const [a, b] = [vm("a", [onCni()]), vm("b", [onCni(["localhost", "db.localhost"])])];
    const other = { ...b, config: { ...b.config, name: "localhost" } };
    assert.deepEqual(text(a, [other]), [
      "10.1.0.6 bbbbbbbbbbbb localhost.lan db.localhost.lan bbbbbbbbbbbb.lan",
    ]);
  });

  it("are those of networks of kiln's own behind the first that has a way out", () => {
    const a = vm("a", [on("n2", "10.2.0.2"), on("n1", "10.89.0.2")]);
    const b = vm("b", [on("n2", "10.2.0.3", ["store"]), on("n3", "10.3.0.3")]);
    assert.deepEqual(text(a, [a, b]), [
      "10.2.0.2 a aaaaaaaaaaaa a.db aaaaaaaaaaaa.db",
      "10.2.0.3 b store bbbbbbbbbbbb b.db store.db bbbbbbbbbbbb.db",
    ]);
    assert.equal(text(b, [a, b]), undefined, "mute has no names, and db's resolver is the first");
  });

  it("are all where the user has named another resolver", () => {
    const a = vm("a", [on("n1", "10.89.0.2")], ["9.9.9.9"]);
    assert.deepEqual(text(a, [a]), ["10.89.0.2 a aaaaaaaaaaaa a.web aaaaaaaaaaaa.web"]);
  });
});

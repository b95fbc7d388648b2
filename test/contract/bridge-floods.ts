// What one guest uses up that is all others' too: the resolver's connections and questions under way, the host's tables of neighbours
// and of connections.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { bridgeName } from "../../src/base/networks.js";
import type { CardCounters } from "../../src/net/types.js";
import { eventually, type Guest, plugIn, resolves } from "../fixtures/bridge-guests.js";
import { BridgeWorld, type Driver, OUTSIDE } from "../fixtures/bridge-world.js";
import { networkCard, networkSpec } from "../fixtures/network-specs.js";

/** Asks for the address of `name` by TCP, and prints the number of answers. */
const ASKS_BY_TCP = `
  const [address, name] = process.argv.slice(1);
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  const question = Buffer.concat([Buffer.from("000101000001000000000000", "hex"), ...labels, Buffer.from([0, 0, 1, 0, 1])]);
  const socket = require("net").connect(53, address, () => socket.write(Buffer.concat([Buffer.from([0, question.length]), question])));
  socket.on("data", (bytes) => { console.log(bytes.readUInt16BE(8)); process.exit(); });`;

/** Opens many connections to port 53, holds those that it gets and prints how many they are. */
const HOLDS = `
  const net = require("net"); let held = 0, left = 30;
  const done = () => { if (--left === 0) console.log("held " + held); };
  for (let at = 0; at < 30; at++) { const socket = net.connect(53, process.argv[1]); socket.on("error", done).on("connect", () => { held++; done(); }); }`;

/** Asks for names that nobody answers, more each tenth of a second than are let through, and then says so and stays. */
const ASKS_THE_SILENT = `
  const socket = require("dgram").createSocket("udp4"); let at = 0;
  const ask = () => { for (let more = 0; more < 60; more++) { const name = String(10000000 + at++);
    socket.send(Buffer.concat([Buffer.from("000101000001000000000000", "hex"), Buffer.from("\\x08" + name + "\\x06silent\\x04test"), Buffer.from([0, 0, 1, 0, 1])]), 53, process.argv[1]); }
    if (at > 900) console.log("asked"); else setTimeout(ask, 100); };
  ask(); setInterval(() => {}, 1000);`;

/** A packet to each of many addresses of its network, and to many ports of one outside; says how many. */
const SENDS = `
  const socket = require("dgram").createSocket(process.argv[1]); let left = +process.argv[3];
  const send = (to) => { if (left-- === 0) return socket.close(() => console.log("sent"));
    const address = to.replace("*", (1 + left).toString(16));
    socket.send("x", to.includes("*") ? 9 : 1 + left, address, () => setImmediate(send, to)); };
  send(process.argv[2]);`;

export function bridgeFloodsContract(isUser: boolean): void {
  describe("a guest that takes all there is", () => {
    const spec = networkSpec(1);
    const gateway = spec.gateway4 ?? "";
    let world: BridgeWorld;
    let driver: Driver;
    let liar: Guest;
    let victim: Guest;
    before(async () => {
      world = await BridgeWorld.open(isUser);
      driver = world.driver();
      await driver.call({ call: "up", spec });
      liar = await plugIn(world, driver, spec, networkCard(spec, "liar", 9));
      victim = await plugIn(world, driver, spec, networkCard(spec, "victim", 5));
      await eventually("a name", () => resolves(victim, "liar", gateway) !== "");
    });
    after(() => world[Symbol.asyncDispose]());

    const starts = async (script: string, words: string, begun: RegExp) => {
      const child = await liar.net.start(`exec ${process.execPath} -e '${script}' ${words} 2>&1`, begun);
      world.ends(child);
      return child;
    };

    it("has a few of the resolver's connections, and others have theirs", async () => {
      let said = "";
      const child = await starts(HOLDS, gateway, /held \d+/);
      child.stdout?.on("data", (text) => (said += text));
      const asks = () => victim.net.sh(`timeout 10 ${process.execPath} -e '${ASKS_BY_TCP}' ${gateway} liar`);
      assert.equal(asks().stdout.trim(), "1", said);
      child.kill("SIGKILL");
    });

    it("leaves room for others' questions, where nobody answers its own", async () => {
      // The second label of what is asked for.
      world.outside.ok(
        `nft 'add table ip silent; add chain ip silent input { type filter hook input priority 0; }; add rule ip silent input udp dport 53 @th,232,56 0x0673696c656e74 drop'`,
      );
      const child = await starts(ASKS_THE_SILENT, gateway, /asked/);
      assert.match(resolves(victim, OUTSIDE.name, gateway), new RegExp(OUTSIDE.ip4));
      child.kill("SIGKILL");
    });

    it("does not have the host look for neighbours in its place", async () => {
      const { ip6 = "" } = liar.card;
      const { gateway6 = "" } = spec;
      liar.net.ok(`ip -6 address flush dev eth0 scope global; ip -6 address add ${ip6}/128 dev eth0 nodad
        ip -6 route replace ${gateway6} dev eth0; ip -6 route replace default via ${gateway6} dev eth0`);
      liar.net.ok(`${process.execPath} -e '${SENDS}' udp6 ${gateway6.replace(/1$/, "7:*")} 60`);
      const found = await world.inPlace(`ip -6 neigh show dev ${bridgeName(spec.id)}`);
      assert.doesNotMatch(found, /:7:/);
    });

    it("begins no more connections than the host's table of them bears", async () => {
      liar.net.ok(`${process.execPath} -e '${SENDS}' udp4 ${OUTSIDE.ip4} 20000`);
      const counters = new Map(await driver.call<[string, CardCounters][]>({ call: "counters", spec }));
      assert.ok((counters.get(liar.card.vmId)?.denied ?? 0) > 100);
    });
  });
}

// The rootless network card: out to the world, never to the host's loopback.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { networkInterfaces } from "node:os";
import { after, before, describe, it, type TestContext } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import { delay } from "../../src/base/runtime.js";
import type { CardSpec, VmmHandle } from "../../src/vmm/index.js";
import type { GuestShell } from "../fixtures/vmm-guest.js";
import { type DriverFactory, processesNaming, shellOf, VmmBench } from "./vmm-bench.js";

/** Far beyond what the slowest machine takes: it ends what would never end. */
const PATIENCE_MS = 120_000;
const CARD: CardSpec = { id: "eth0", mac: "02:00:00:00:00:01", backend: { kind: "stream" } };
const CONFIGURE =
  "ip link set eth0 up && ip addr add 10.0.2.15/24 dev eth0 && ip route add default via 10.0.2.2 && cat /sys/class/net/eth0/address";
/** Takes 127.0.0.1 away from the guest's own loopback and sends it out of its card, as hostile guests may. */
const HIJACK_LOOPBACK = [
  "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet",
  "ip link set lo down",
  "ip addr flush dev lo",
  "ip route add 127.0.0.1/32 via 10.0.2.2 dev eth0",
].join(" && ");

/** @param makeUnguarded the same driver without the guard library */
export function networkContract(makeDriver: DriverFactory, makeUnguarded: DriverFactory): void {
  const hostIp = ownAddress();
  describe("user network", { skip: hostIp === undefined && "this host has no address but loopback" }, () => {
    let bench: VmmBench;
    let handle: VmmHandle;
    let shell: GuestShell;
    let absent: string | undefined;
    before(async () => {
      bench = await VmmBench.open(makeDriver);
      const probe = await bench.newDriver().probe();
      if (probe.capabilities?.userNetwork === false) {
        absent = `${probe.kind} has no rootless network on this host (programs, /dev/net/tun, namespaces)`;
        return;
      }
      handle = await bench.launch({ cards: [CARD] });
      shell = await shellOf(handle);
      assert.equal(await shell.output(CONFIGURE), CARD.mac);
    });
    after(() => bench[Symbol.asyncDispose]());

    function itReaches(what: string, body: (t: TestContext) => Promise<void>): void {
      it(what, (t) => (absent === undefined ? body(t) : t.skip(absent)));
    }

    /** GET of a server on the host, seen from the guest, which waits that long for each word. */
    async function get(listen: string, dial: string, seconds = 5): Promise<string> {
      const server = createServer((_request, response) => response.end("hello from the host"));
      server.listen(0, listen);
      await once(server, "listening");
      const { port } = server.address() as { port: number };
      const request = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w ${seconds} ${dial} ${port}`;
      const { output } = await shell.run(request);
      server.close();
      return output;
    }

    itReaches("reaches a server on another address than loopback", async () => {
      assert.match(await get(hostIp ?? "", hostIp ?? "", 60), /hello from the host/);
    });

    itReaches("does not reach the host's loopback by the gateway's address", async () => {
      assert.doesNotMatch(await get("127.0.0.1", "10.0.2.2"), /hello/);
    });

    itReaches("asks the host's resolver", async (t) => {
      const resolvers = /^nameserver /m.test(await readFile("/etc/resolv.conf", "utf8").catch(() => ""));
      if (!resolvers) return t.skip("this host has no resolver");
      // Any answer at all comes from the resolver: "no such domain" is one.
      const { output } = await shell.run("nslookup does-not-exist.invalid 10.0.2.3");
      assert.match(output, /NXDOMAIN|SERVFAIL|REFUSED|can't find|No answer/);
      assert.doesNotMatch(output, /timed out|no servers could be reached/);
    });

    itReaches("does not reach the host's loopback by raw packets to 127.0.0.1", async () => {
      await shell.output(HIJACK_LOOPBACK);
      assert.doesNotMatch(await get("127.0.0.1", "127.0.0.1"), /hello/);
    });

    itReaches("sends no datagram to the host's loopback either", async () => {
      const heard: string[] = [];
      const listen = async (address: string) => {
        const socket = createSocket("udp4", () => heard.push(address));
        socket.bind(0, address);
        await once(socket, "listening");
        return socket;
      };
      const [inner, outer] = [await listen("127.0.0.1"), await listen(hostIp ?? "")];
      const send = (address: string, port: number) =>
        shell.run(`timeout 1 tftp -g -r x -l /tmp/x ${address} ${port}`);
      await send("10.0.2.2", inner.address().port);
      await send("127.0.0.1", inner.address().port);
      // A busy guest's program may be over before it has sent anything.
      const end = performance.now() + PATIENCE_MS;
      do await send(hostIp ?? "", outer.address().port);
      while (!heard.includes(hostIp ?? "") && performance.now() < end);
      inner.close();
      outer.close();
      assert.deepEqual(new Set(heard), new Set([hostIp]));
    });

    itReaches("takes its helpers with it", async () => {
      const namespace = `/proc/${handle.record.process.pid}/ns/net`;
      const helpers = await processesNaming(namespace);
      await handle.kill();
      while ((await processesNaming(namespace)).length > 0) await delay(10);
      assert.equal(helpers.length, handle.record.driver === "firecracker" ? 1 : 0);
    });
  });

  describe("user network without its guard", () => {
    it("is refused", async () => {
      await using bench = await VmmBench.open(makeUnguarded);
      const expected = (error: unknown) =>
        hasReason(error, "no-netguard") || hasReason(error, "no-user-network");
      await assert.rejects(bench.launch({ cards: [CARD] }), expected);
    });
  });
}

/** An IPv4 address of this host that is not loopback. */
function ownAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.find((one) => one.family === "IPv4" && !one.internal)?.address;
}

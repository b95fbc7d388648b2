// What the user network by passt promises beyond being a network: closed addresses, whole streams, and a passt that may
// die or outlive kilnd.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { isAlive, type ProcessId, readTraits, signalProcess } from "../../src/base/processes.js";
import { deferred, delay } from "../../src/base/runtime.js";
import type { CardSpec, VmmHandle, VmmSpec } from "../../src/vmm/index.js";
import { networkOf } from "../fixtures/connected-driver.js";
import type { GuestShell } from "../fixtures/vmm-guest.js";
import { type DriverFactory, shellOf, VmmBench } from "./vmm-bench.js";

const CARD: CardSpec = { id: "eth0", mac: "02:00:00:00:00:02", backend: { kind: "stream" } };
const CONFIGURE =
  "ip link set eth0 mtu 65520 up && ip addr add 10.0.2.15/24 dev eth0 && ip route add default via 10.0.2.2";
const METADATA = "169.254.169.254";
const STREAMS = 12;
const STREAM_BYTES = 200_000;
const LONG_STREAM_BYTES = 16_000_000;
/** The first fault came within twenty. */
const BUSY_STREAMS = 60;

/** For drivers whose user network is passt. */
export function passtContract(makeDriver: DriverFactory): void {
  const hostIp = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find((one) => one.family === "IPv4" && !one.internal)?.address;
  describe("passt", { skip: hostIp === undefined && "this host has no address but loopback" }, () => {
    let bench: VmmBench;
    let spec: VmmSpec;
    let handle: VmmHandle;
    let shell: GuestShell;
    const servers: Server[] = [];
    before(async () => {
      bench = await VmmBench.open(makeDriver);
      const runAs = process.getuid?.() === 0 ? { uid: 1_900_040_000, gid: 1_900_040_000 } : undefined;
      spec = await bench.spec({ cards: [CARD], ...(runAs === undefined ? {} : { runAs }) });
      if (runAs !== undefined)
        execFileSync("sh", [
          "-c",
          `chmod -R a+rX ${bench.root}; chown -R ${runAs.uid} ${spec.runDirectory} ${spec.stateDirectory}`,
        ]);
      handle = bench.adopt(await bench.newDriver().launch(spec));
      shell = await shellOf(handle);
      await shell.output(CONFIGURE);
    });
    after(async () => {
      for (const server of servers) server.close();
      await bench[Symbol.asyncDispose]();
    });

    /** A server that says the text and closes first. */
    async function say(address: string, text: string | Buffer): Promise<number> {
      const server = createServer((socket) => socket.on("error", () => undefined).end(text));
      servers.push(server);
      server.listen(0, address);
      await once(server, "listening");
      return (server.address() as { port: number }).port;
    }

    /** A server that never stops talking. */
    async function pour(address: string): Promise<number> {
      const chunk = Buffer.alloc(65_536, "y");
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.resume();
        const write = () => {
          while (socket.writable && socket.write(chunk));
        };
        socket.on("error", () => undefined).on("drain", write);
        write();
      });
      servers.push(server);
      server.listen(0, address);
      await once(server, "listening");
      return (server.address() as { port: number }).port;
    }

    async function passt(): Promise<ProcessId> {
      const record = JSON.parse(await readFile(join(spec.runDirectory, "passt.json"), "utf8"));
      return (record as { process: ProcessId }).process;
    }

    async function hears(address: string, port: number): Promise<string> {
      return (await shell.run(`nc -w 5 ${address} ${port} < /dev/null`)).output;
    }

    it("runs as a user of its own under root", async (t) => {
      const traits = await readTraits((await passt()).pid);
      if (process.getuid?.() !== 0) return t.skip("kilnd is not root here");
      assert.equal(traits?.uid, 1_900_040_000 + 65_536);
    });

    it("is in its VM's cgroup, under the same limits", async (t) => {
      if (handle.record.facts.cgroup === undefined) return t.skip("VMs have no cgroups here");
      const of = (pid: number) => readFile(`/proc/${pid}/cgroup`, "utf8");
      const own = await of((await passt()).pid);
      assert.equal(own, await of(handle.record.process.pid));
      assert.match(own, /\/kiln-vm-[0-9a-f]{32}\n/);
    });

    it("carries whole streams to their end where the server closes first", async () => {
      const port = await say(hostIp ?? "", Buffer.alloc(STREAM_BYTES, "x"));
      for (let round = 0; round < STREAMS; round++) {
        const count = await shell.output(`nc -w 10 ${hostIp} ${port} < /dev/null | wc -c`);
        assert.equal(Number(count), STREAM_BYTES, `connection ${round}`);
      }
    });

    it("loses nothing of a stream that is faster than the guest", async () => {
      // A socket that kilnd left non-blocking ended here after half a megabyte.
      const port = await say(hostIp ?? "", Buffer.alloc(LONG_STREAM_BYTES, "x"));
      const count = await shell.output(`nc ${hostIp} ${port} | wc -c`);
      assert.equal(Number(count), LONG_STREAM_BYTES);
    });

    // What did not fit was dropped: whoever read to the end of a stream waited for ever, or missed the rest of it.
    it("brings each stream's end to a guest that another stream keeps busy", async () => {
      const port = await say(hostIp ?? "", Buffer.alloc(STREAM_BYTES / 2, "x"));
      const flood = await pour(hostIp ?? "");
      await shell.output(`nc ${hostIp} ${flood} < /dev/null > /dev/null 2>&1 & echo $! > /tmp/flood`);
      for (let round = 0; round < BUSY_STREAMS; round++) {
        const count = await shell.output(`nc -w 90 ${hostIp} ${port} < /dev/null | wc -c`);
        assert.equal(Number(count), STREAM_BYTES / 2, `connection ${round}`);
      }
      await shell.output("kill $(cat /tmp/flood)");
    });

    it("shows nothing of what listens on the host's loopback, by any of the net's addresses", async () => {
      const port = await say("127.0.0.1", "from loopback");
      for (const address of ["10.0.2.2", "10.0.2.3", "10.0.2.15", hostIp ?? ""]) {
        assert.doesNotMatch(await hears(address, port), /from loopback/, address);
      }
    });

    it("shows no link-local service", async (t) => {
      try {
        execFileSync("ip", ["addr", "add", `${METADATA}/32`, "dev", "lo"], { stdio: "pipe" });
      } catch (error) {
        return t.skip(
          `no link-local address can be added here: ${(error as Error).message.split("\n")[1] ?? ""}`,
        );
      }
      try {
        const port = await say(METADATA, "secrets");
        assert.doesNotMatch(await hears(METADATA, port), /secrets/);
      } finally {
        execFileSync("ip", ["addr", "del", `${METADATA}/32`, "dev", "lo"]);
      }
    });

    it("is started again when it has died, and the next connection works", async () => {
      const port = await say(hostIp ?? "", "hello");
      const first = await passt();
      const told = deferred<string>();
      networkOf(handle).listen(({ message }) => told.resolve(message));
      await signalProcess(first, "SIGKILL");
      assert.match(await told.promise, /started again/);
      assert.notDeepEqual(await passt(), first);
      assert.match(await hears(hostIp ?? "", port), /hello/);
    });

    it("goes on without kilnd, and is found by the next one", async () => {
      const port = await say(hostIp ?? "", "hello");
      const running = await passt();
      await shell.close();
      await handle.detach();
      assert.ok(await isAlive(running));
      handle = bench.adopt(await bench.newDriver().reattach(handle.record, spec));
      shell = await shellOf(handle);
      assert.deepEqual(await passt(), running);
      assert.match(await hears(hostIp ?? "", port), /hello/);
    });

    it("is started by a kilnd that finds it dead", async () => {
      const port = await say(hostIp ?? "", "hello");
      const running = await passt();
      await shell.close();
      await handle.detach();
      await signalProcess(running, "SIGKILL");
      while (await isAlive(running)) await delay(5);
      handle = await bench.newDriver().reattach(handle.record, spec);
      bench.adopt(handle);
      const told = deferred<void>();
      networkOf(handle).listen(() => told.resolve());
      shell = await shellOf(handle);
      const again = await passt();
      if (again.pid === running.pid) await told.promise;
      assert.match(await hears(hostIp ?? "", port), /hello/);
    });

    it("ends with its VM", async () => {
      const running = await passt();
      assert.ok(await isAlive(running));
      await handle.kill();
      while (await isAlive(running)) await delay(5);
      assert.equal(await isAlive(running), false);
    });
  });
}

// Further byte streams between guest and host, as many as were asked for: each by its own name, again and again, again for
// a later kilnd, and whoever the VMM runs as.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmod, stat } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import { connectPinned } from "../../src/base/pinned.js";
import { deferred } from "../../src/base/runtime.js";
import type { VmmHandle, VmmPort, VmmSpec } from "../../src/vmm/index.js";
import { listenForGuest } from "../../src/vmm/ports.js";
import { recallVmm } from "../../src/vmm/recall.js";
import { type DriverFactory, MIB, shellOf, VmmBench } from "./vmm-bench.js";

const USER = { uid: 54321, gid: 54321 };
const OWN_UID = process.getuid?.() ?? 0;
const IDS = ["alpha", "beta", "0gamma"];
const portsOf = (ids: readonly string[]) => ids.map((id) => ({ id }));

/** What inherits the listening socket of a port, as a share's server does: hands each stream on to the test's own. */
const FORWARD = `
  const net = require("node:net");
  net.createServer((guest) => {
    const test = net.connect(process.argv[1]);
    for (const [one, other] of [[guest, test], [test, guest]]) {
      one.on("error", () => undefined);
      one.once("close", () => other.destroy());
      one.pipe(other);
    }
  }).listen({ fd: 3 });
`;

/** The host's end of a port. */
class HostEnd implements Disposable {
  readonly #port: VmmPort;
  readonly #server: Server | undefined;
  readonly #child: ChildProcess | undefined;
  #stream: Socket | undefined;

  private constructor(port: VmmPort, server?: Server, child?: ChildProcess) {
    this.#port = port;
    this.#server = server;
    this.#child = child;
  }

  static async of(port: VmmPort | undefined, runAs: VmmSpec["runAs"]): Promise<HostEnd> {
    assert.ok(port !== undefined);
    if (port.kind === "connect") return new HostEnd(port);
    const own = createServer();
    const path = `${port.socket}.test`;
    await new Promise<void>((resolve) => own.listen(path, resolve));
    const listening = await listenForGuest(port, runAs);
    const child = spawn(process.execPath, ["-e", FORWARD, path], {
      stdio: ["ignore", "ignore", "inherit", listening.fd],
    });
    listening.close();
    return new HostEnd(port, own, child);
  }

  async next(): Promise<Socket> {
    this.#stream?.destroy();
    const server = this.#server;
    const stream =
      server === undefined
        ? await connectPinned(this.#port.socket, [OWN_UID])
        : await new Promise<Socket>((resolve) => server.once("connection", resolve));
    stream.on("error", () => undefined);
    this.#stream = stream;
    return stream;
  }

  [Symbol.dispose](): void {
    this.#stream?.destroy();
    this.#server?.close();
    this.#child?.kill("SIGKILL");
  }
}

/** What comes of a stream, in pieces of the size asked for. */
class Incoming {
  readonly #stream: Readable;
  #held = Buffer.alloc(0);
  #arrived = deferred<void>();

  constructor(stream: Readable) {
    this.#stream = stream;
    stream.on("data", (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk]);
      this.#arrived.resolve();
    });
    stream.once("close", () => this.#arrived.resolve());
  }

  async take(count: number): Promise<Buffer> {
    while (this.#held.length < count) {
      assert.ok(!this.#stream.destroyed, "the stream ended early");
      await this.#arrived.promise;
      this.#arrived = deferred();
    }
    const taken = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return taken;
  }
}

/** What the stand-in has for a vsock port of the host's is a serial port too. */
function nameOf({ guest }: VmmPort): string {
  return "port" in guest ? guest.port : `kiln.vsock.${guest.vsock}`;
}

/** In the guest: a greeting, bytes in, bytes out, and a farewell. Its output is the sums of both. */
function guestSide(port: VmmPort, size: number): string {
  const line = (name: string) => `until IFS= read -r ${name} <&4; do sleep 0.05; done`;
  return [
    `for e in /sys/class/virtio-ports/*; do [ "$(cat $e/name)" = ${nameOf(port)} ] && dev=/dev/\${e##*/}; done`,
    `exec 4<>$dev; ${line("hello")}; echo "$hello, $hello" >&4; head -c ${size} <&4 | sha256sum`,
    `f=$(mktemp); head -c ${size} /dev/urandom > $f; sha256sum < $f; cat $f >&4; rm $f; ${line("bye")}`,
  ].join("; ");
}

/** The host's side of the same. @returns the sums that the guest must have found */
async function hostSide(stream: Socket, word: string, size: number): Promise<readonly string[]> {
  const incoming = new Incoming(stream);
  stream.write(`${word}\n`);
  const answer = `${word}, ${word}\n`;
  assert.equal((await incoming.take(answer.length)).toString(), answer);
  const data = randomBytes(size);
  stream.write(data);
  const received = await incoming.take(size);
  stream.write("bye\n");
  return [data, received].map((bytes) => `${createHash("sha256").update(bytes).digest("hex")}  -`);
}

/** One stream on each of the ports, all at once. */
async function exchange(handle: VmmHandle, ids: readonly string[], size: number, ends: readonly HostEnd[]) {
  const shell = await shellOf(handle);
  const ports = ids.map((id) => handle.ports.get(id) as VmmPort);
  const commands = ports.map((port, index) => `(${guestSide(port, size)}) > /tmp/o${index} 2>&1 &`);
  const outputs = ports.map((_, index) => `/tmp/o${index}`).join(" ");
  const streams = Promise.all(ends.map((end) => end.next()));
  const answer = shell.output(`${commands.join(" ")} wait; cat ${outputs}`);
  const sums = await Promise.all(
    (await streams).map((stream, index) => hostSide(stream, ids[index] ?? "", size)),
  );
  assert.deepEqual((await answer).split("\n"), sums.flat());
  await shell.close();
}

export function portsContract(makeDriver: DriverFactory): void {
  describe("ports", () => {
    let bench: VmmBench;
    let spec: VmmSpec;
    let handle: VmmHandle;
    const ends: HostEnd[] = [];
    before(async () => {
      bench = await VmmBench.open(makeDriver);
      spec = await bench.spec({ ports: portsOf(IDS) });
      handle = bench.adopt(await bench.newDriver().launch(spec));
      for (const id of IDS) ends.push(await HostEnd.of(handle.ports.get(id), undefined));
    });
    after(async () => {
      for (const end of ends) end[Symbol.dispose]();
      await bench[Symbol.asyncDispose]();
    });

    it("carry bytes both ways as they are, all at once", async () => {
      await exchange(handle, IDS, MIB, ends);
    });

    it("carry the next stream when one has ended, and leave the agent's channel alone", async () => {
      await exchange(handle, IDS.slice(1, 2), 1000, ends.slice(1, 2));
      await exchange(handle, IDS, 70_000, ends);
    });

    it("have their sockets where only kilnd writes", async () => {
      for (const { socket } of handle.ports.values()) {
        const { uid, mode } = await stat(dirname(socket));
        assert.deepEqual([uid, mode & 0o022], [OWN_UID, 0], socket);
      }
    });

    it("are found again by a later kilnd, by the record and without its facts", async () => {
      const told = handle.ports;
      await handle.detach();
      const record = JSON.parse(JSON.stringify(handle.record)) as typeof handle.record;
      const { ports: _, ...older } = spec;
      handle = bench.adopt(await bench.newDriver().reattach(record, older));
      assert.deepEqual(handle.ports, told);
      await exchange(handle, IDS, 1000, ends);
      await handle.detach();
      const recalled = await recallVmm(record.process, spec.runDirectory);
      // The stand-in's process does not look like a VMM.
      const { ports: __, consoleLog: ___, ...rest } = record.facts;
      const lost = { ...record, facts: recalled?.facts ?? rest };
      handle = bench.adopt(await bench.newDriver().reattach(lost, spec));
      assert.deepEqual(handle.ports, told);
    });

    it("are none of a VM that was launched without, as by earlier releases", async () => {
      const plain = await bench.spec();
      const other = bench.adopt(await bench.newDriver().launch(plain));
      assert.equal(other.ports.size, 0);
      await other.detach();
      const again = bench.adopt(
        await bench.newDriver().reattach(other.record, { ...plain, ports: portsOf(IDS) }),
      );
      assert.equal(again.ports.size, 0);
      await again.kill();
    });

    it("are refused beyond their number, before anything is made", async () => {
      const ids = Array.from({ length: 33 }, (_, index) => `p${index}`);
      const launched = bench.newDriver().launch(await bench.spec({ ports: portsOf(ids) }));
      await assert.rejects(launched, (error) => hasReason(error, "too-many-ports"));
    });

    it("are as many as promised, also for a VMM with a user of its own", async () => {
      const ids = Array.from({ length: 32 }, (_, index) => `p${index}`);
      const runAs = OWN_UID === 0 ? USER : undefined;
      const full = await bench.spec({ ports: portsOf(ids), ...(runAs === undefined ? {} : { runAs }) });
      for (const path of [bench.root, full.runDirectory, full.stateDirectory]) await chmod(path, 0o700);
      const many = bench.adopt(await bench.newDriver().launch(full));
      const [first = "", last = ""] = [ids[0], ids.at(-1)];
      assert.equal(many.ports.size, ids.length);
      using one = await HostEnd.of(many.ports.get(first), runAs);
      using other = await HostEnd.of(many.ports.get(last), runAs);
      await exchange(many, [first, last], 100_000, [one, other]);
      await many.kill();
    });
  });
}

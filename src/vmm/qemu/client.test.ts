import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { QmpClient, type QmpEvent } from "./client.js";

const GREETING = '{"QMP": {"version": {}, "capabilities": []}}\n';

describe("QmpClient", () => {
  let directory: string;
  let path: string;
  let server: Server | undefined;
  const sockets: Socket[] = [];
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "qmp-"));
    path = join(directory, "qmp.sock");
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server?.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** A QEMU that greets and answers each command by `reply`; undefined answers nothing. */
  async function qemu(
    reply: (command: { execute: string; id: number; arguments?: unknown }) => unknown,
    greeting = GREETING,
  ): Promise<void> {
    server = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => undefined);
      socket.write(greeting);
      socket.on("data", (chunk: Buffer) => {
        for (const text of chunk.toString("utf8").trim().split("\n")) {
          const answer = reply(JSON.parse(text));
          if (answer !== undefined) socket.write(`${JSON.stringify(answer)}\n`);
        }
      });
    });
    server.listen(path);
    await once(server, "listening");
  }

  const noEvents = () => undefined;

  it("negotiates and gives each command its own answer", async () => {
    const held: unknown[] = [];
    await qemu(({ execute, id, arguments: args }) => {
      if (execute === "qmp_capabilities") return { return: {}, id };
      held.push({ return: { execute, args }, id });
      if (held.length < 2) return undefined;
      // Answered in the other order.
      sockets[0]?.write(`${JSON.stringify(held[1])}\n`);
      return held[0];
    });
    const client = await QmpClient.connect(path, noEvents);
    const [one, two] = await Promise.all([client.execute("one", { a: 1 }), client.execute("two")]);
    assert.deepEqual(one, { execute: "one", args: { a: 1 } });
    assert.deepEqual(two, { execute: "two" });
    client.close();
  });

  it("tells QEMU's words of refusal", async () => {
    await qemu(({ execute, id }) =>
      execute === "qmp_capabilities"
        ? { return: {}, id }
        : { error: { class: "GenericError", desc: "no such thing" }, id },
    );
    const client = await QmpClient.connect(path, noEvents);
    await assert.rejects(client.execute("balloon"), (error) => {
      assert.ok(hasReason(error, "qmp-error"));
      assert.match(String(error), /refused balloon: no such thing/);
      return true;
    });
    client.close();
  });

  it("hands events on", async () => {
    const events: QmpEvent[] = [];
    await qemu(({ id }) => ({ return: {}, id }));
    const client = await QmpClient.connect(path, (event) => events.push(event));
    sockets[0]?.write('{"event":"STOP","timestamp":{}}\n');
    await client.execute("query-status");
    assert.deepEqual(events, [{ name: "STOP", data: {} }]);
    client.close();
  });

  it("fails what waits when QEMU ends", async () => {
    await qemu(({ execute, id }) => (execute === "qmp_capabilities" ? { return: {}, id } : undefined));
    const client = await QmpClient.connect(path, noEvents);
    const waiting = client.execute("stop");
    sockets[0]?.destroy();
    await assert.rejects(waiting, (error) => hasReason(error, "qmp-closed"));
    await client.closed;
    await assert.rejects(client.execute("cont"), (error) => hasReason(error, "qmp-closed"));
  });

  it("gives up on a QEMU that does not answer", async () => {
    await qemu(({ execute, id }) => (execute === "qmp_capabilities" ? { return: {}, id } : undefined));
    const client = await QmpClient.connect(path, noEvents);
    await assert.rejects(client.execute("stop", undefined, 20), (error) => hasReason(error, "qmp-silent"));
    client.close();
  });

  it("gives up on a QEMU that serves somebody else", async () => {
    await qemu(() => undefined, "");
    await assert.rejects(QmpClient.connect(path, noEvents, { timeoutMs: 20 }), (error) =>
      hasReason(error, "qmp-silent"),
    );
  });

  it("closes the connection of a QEMU that breaks the protocol", async () => {
    await qemu(({ id }) => ({ return: {}, id }));
    const client = await QmpClient.connect(path, noEvents);
    sockets[0]?.write("garbage\n");
    await client.closed;
    await assert.rejects(client.execute("cont"), (error) => hasReason(error, "qmp-violation"));
  });

  it("waits for a socket that is not there yet", async () => {
    const connecting = QmpClient.connect(path, noEvents, { gone: () => false });
    await qemu(({ id }) => ({ return: {}, id }));
    (await connecting).close();
  });

  it("stops waiting when QEMU has ended, or the caller has", async () => {
    await assert.rejects(QmpClient.connect(path, noEvents, { gone: () => true }), (error) =>
      hasReason(error, "no-such-file"),
    );
    const signal = AbortSignal.abort();
    await assert.rejects(QmpClient.connect(path, noEvents, { gone: () => false, signal }), {
      name: "AbortError",
    });
  });
});

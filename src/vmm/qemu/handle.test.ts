import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Code } from "../../base/errors.js";
import { deferred } from "../../base/runtime.js";
import { QemuHandle } from "./handle.js";

type Parts = ConstructorParameters<typeof QemuHandle>[0];

describe("QemuHandle", () => {
  // Whoever waits for the end of a VM waits for this.
  it("tells the end also where what the VMM leaves can't be cleared up", async () => {
    const parts = {
      record: { facts: {} },
      sockets: {},
      owners: [0],
      process: { ended: Promise.resolve({ code: 0 }), stderrTail: () => "", release: () => undefined },
      log: {
        ...{ path: "", firstOutput: Promise.resolve() },
        close: () =>
          Promise.reject(Object.assign(new Error("EMFILE: too many open files"), { code: "EMFILE" })),
      },
      memoryBytes: 1,
    } as unknown as Parts;
    const handle = new QemuHandle(parts);
    const { detail } = await handle.exited;
    assert.match(detail, /not cleared up: .*EMFILE/);
  });

  it("connects again when QEMU breaks its control connection or its console", async () => {
    const directory = await mkdtemp(join(tmpdir(), "qemu-handle-"));
    const sockets = {
      qmp: join(directory, "qmp"),
      console: join(directory, "console"),
      channel: "",
      net: "",
    };
    const qmps: Socket[] = [];
    const consoles: Socket[] = [];
    const commands: (readonly string[])[] = [];
    const qmp = createServer((socket) => {
      qmps.push(socket);
      commands.push(answerQmp(socket));
    }).listen(sockets.qmp);
    const console = createServer((socket) => {
      consoles.push(socket);
      socket.on("error", () => undefined);
      socket.write(`${consoles.length};`);
    }).listen(sockets.console);
    await Promise.all([once(qmp, "listening"), once(console, "listening")]);
    let printed = "";
    const spoke = deferred<void>();
    const write = (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.includes("2;")) spoke.resolve();
    };
    const handle = handleOver(sockets, write);
    try {
      const stalled = deferred<string | undefined>();
      handle.onStall((why) => stalled.resolve(why));
      await handle.connect({});
      await handle.pause();
      // What no QEMU says, and a console that goes.
      qmps[0]?.write("no JSON\n");
      consoles[0]?.destroy();
      await once(qmps[0] as Socket, "close");
      await assert.rejects(handle.pause(), { code: Code.Unavailable, reason: "vmm-unreachable" });
      // It was stopped for want of disk while nobody listened.
      assert.match((await stalled.promise) ?? "", /disk is full/);
      await handle.resume();
      await spoke.promise;
      assert.deepEqual(
        commands.map((heard) => heard.join(" ")),
        ["qmp_capabilities stop", "qmp_capabilities query-status cont"],
      );
      assert.equal(printed, "1;2;");
    } finally {
      await handle.detach();
      for (const socket of [...qmps, ...consoles]) socket.destroy();
      qmp.close();
      console.close();
      await rm(directory, { recursive: true });
    }
  });
});

/** A QEMU that does what it is told. @returns the commands that it hears */
function answerQmp(socket: Socket): readonly string[] {
  const heard: string[] = [];
  socket.on("error", () => undefined);
  socket.write('{"QMP": {"version": {}, "capabilities": []}}\n');
  socket.on("data", (chunk: Buffer) => {
    for (const line of chunk.toString().trim().split("\n")) {
      const { execute, id } = JSON.parse(line);
      heard.push(execute);
      const value = execute === "query-status" ? { status: "io-error" } : {};
      socket.write(`${JSON.stringify({ return: value, id })}\n`);
    }
  });
  return heard;
}

/** Of a process that goes on, whose console is handed to `write`. */
function handleOver(sockets: object, write: (chunk: Buffer) => void): QemuHandle {
  const process = {
    ended: new Promise(() => undefined),
    release: () => undefined,
    expectEnd: async () => undefined,
  };
  return new QemuHandle({
    record: { facts: {} },
    sockets,
    owners: [globalThis.process.getuid?.() ?? 0],
    process,
    log: { path: "", firstOutput: Promise.resolve(), close: async () => undefined, write },
    memoryBytes: 1,
  } as unknown as Parts);
}

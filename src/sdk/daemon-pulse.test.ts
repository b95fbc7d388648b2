// A kilnd that takes calls and answers none, as a stopped process does.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttp2Server, type ServerHttp2Session } from "node:http2";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Code, KilnError } from "../base/errors.js";
import { DaemonPulse, Silence } from "./daemon-pulse.js";
import { dial } from "./host.js";
import { Transport } from "./transport.js";

const QUICK = { stepMs: 1, looks: 3 };

async function listening(server: Pick<Server, "listen" | "close">, body: (socket: string) => Promise<void>) {
  const directory = await mkdtemp(join(tmpdir(), "pulse-"));
  const socket = join(directory, "kiln.sock");
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    await body(socket);
  } finally {
    server.close();
    await rm(directory, { recursive: true });
  }
}

const isSilence = (error: unknown) => {
  assert.ok(error instanceof KilnError, String(error));
  assert.deepEqual([error.code, error.reason], [Code.Unavailable, "daemon-silent"]);
  assert.match(error.message, /VM web.*: kilnd has given no sign of life for 60 s/);
  assert.match(error.hint ?? "", /kill -CONT/);
  return true;
};

describe("a call to a kilnd that is stopped", () => {
  const words = { start: {}, resume: () => ({}), isUnknown: () => false, news: () => ({}), ack: undefined };
  for (const [what, call] of [
    ["one answer", (to: Transport) => to.unary("VmService/WaitVm", { vm: "web" }, { subject: "VM web" })],
    ["a stream", (to: Transport) => to.serverStream("VmService/Logs", {}, { subject: "VM web" }).next()],
    [
      "a program",
      (to: Transport) => to.lasting("VmService/Exec", words, { subject: "VM web" }).messages().next(),
    ],
  ] as const) {
    it(`fails after its patience: ${what}`, () =>
      listening(createServer(), async (socket) => {
        const transport = new Transport(() => dial(socket), QUICK);
        await assert.rejects(call(transport), isSilence);
        await transport.close();
      }));
  }
});

describe("a call that takes its time", () => {
  it("is waited for as long as kilnd answers pings", async () => {
    const server = createHttp2Server();
    const sessions: ServerHttp2Session[] = [];
    let pings = 0;
    server.on("session", (session) => {
      sessions.push(session);
      session.on("ping", () => pings++);
    });
    server.on("stream", async (stream) => {
      while (pings < 20) await new Promise((resolve) => setImmediate(resolve));
      stream.respond({ ":status": 200 });
      stream.end("{}");
    });
    await listening(server, async (socket) => {
      const transport = new Transport(() => dial(socket), { stepMs: 1, looks: 100_000 });
      assert.deepEqual(await transport.unary("VmService/WaitVm", { vm: "web" }), {});
      assert.equal(sessions.length, 1);
      const [session] = sessions;
      await transport.close();
      if (session !== undefined && !session.destroyed) await once(session, "close");
    });
  });
});

describe("a pulse", () => {
  /** Steps of it, over a session whose answers the test gives. */
  function pulse(looks: number) {
    const answers: (() => void)[] = [];
    const ends: unknown[] = [];
    const session = {
      destroyed: false,
      destroy(error?: unknown) {
        this.destroyed = true;
        ends.push(error);
      },
      ping: (answered: () => void) => answers.push(answered) > 0,
    };
    const watch = new DaemonPulse(session as never, { stepMs: 10, looks });
    watch.start();
    return { watch, answers, ends };
  }

  it("costs nothing where kilnd goes on within the patience, however often it was stopped", (test) => {
    test.mock.timers.enable({ apis: ["setInterval"] });
    const { answers, ends } = pulse(5);
    const step = (times: number) => test.mock.timers.tick(10 * times);
    for (let time = 0; time < 10; time++) {
      step(1 + 4);
      answers.at(-1)?.();
    }
    assert.deepEqual([answers.length, ends], [10, []]);
    step(1 + 5);
    assert.ok(ends[0] instanceof Silence);
    step(100);
    assert.deepEqual([answers.length, ends.length], [11, 1]);
  });

  it("asks nothing while no call is under way", (test) => {
    test.mock.timers.enable({ apis: ["setInterval"] });
    const { watch, answers } = pulse(5);
    watch.stop();
    test.mock.timers.tick(1000);
    assert.equal(answers.length, 0);
    watch.start();
    test.mock.timers.tick(10);
    assert.equal(answers.length, 1);
    watch.stop();
  });
});

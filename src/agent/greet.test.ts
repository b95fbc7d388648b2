import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { describe, it } from "node:test";
import { deferred } from "../base/runtime.js";
import { greet } from "./greet.js";
import { encodeEcho, HELLO_BYTES } from "./hello.js";

/** The agent's end of a stream: the nonces that were said, and a way to answer. */
class FakeAgent extends Duplex {
  readonly nonces: Buffer[] = [];
  #heard = deferred<void>();

  override _read(): void {
    // Data comes by push().
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    for (let at = 0; at < chunk.length; at += HELLO_BYTES)
      this.nonces.push(chunk.subarray(at + 16, at + HELLO_BYTES));
    this.#heard.resolve();
    this.#heard = deferred<void>();
    done();
  }

  /** The nth nonce, once it was said. */
  async nonce(n: number): Promise<Buffer> {
    for (;;) {
      const nonce = this.nonces[n];
      if (nonce !== undefined) return nonce;
      await this.#heard.promise;
    }
  }
}

describe("greet", () => {
  it("says hello once to an agent that answers at once, and leaves what follows unread", async () => {
    const agent = new FakeAgent();
    const greeted = greet(agent, new AbortController().signal);
    agent.push(Buffer.concat([Buffer.from("noise"), encodeEcho(await agent.nonce(0))]));
    await greeted;
    assert.equal(agent.nonces.length, 1);
    agent.push("PRI");
    assert.equal(String(agent.read()), "PRI");
  });

  it("waits for the echo of its last hello, so that no other can come later", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const agent = new FakeAgent();
    let done = false;
    const greeted = greet(agent, new AbortController().signal).then(() => {
      done = true;
    });
    const first = await agent.nonce(0);
    t.mock.timers.tick(500);
    const second = await agent.nonce(1);
    assert.notDeepEqual(first, second);
    agent.push(encodeEcho(first));
    await new Promise(setImmediate);
    assert.equal(done, false);
    agent.push(encodeEcho(second));
    await greeted;
  });

  it("gives an agent time that answers more slowly than it repeats itself", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const agent = new FakeAgent();
    const greeted = greet(agent, new AbortController().signal);
    const first = await agent.nonce(0);
    t.mock.timers.tick(500);
    agent.push(encodeEcho(first));
    await new Promise(setImmediate);
    t.mock.timers.tick(500);
    t.mock.timers.tick(4_999);
    assert.equal(agent.nonces.length, 3);
    agent.push(encodeEcho(await agent.nonce(2)));
    await greeted;
  });
});

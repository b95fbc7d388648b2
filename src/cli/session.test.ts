import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { deferred } from "../base/runtime.js";
import type { OutputChunk } from "../sdk/index.js";
import { fakeContext } from "./fake-context.js";
import { type Program, runSession, type SessionOptions } from "./session.js";

const OPTIONS: SessionOptions = {
  tty: false,
  stdin: false,
  closeStdin: true,
  detachKeys: [],
  signals: false,
};

/** A program that records what it is sent and ends when told to. */
class RecordingProgram implements Program {
  readonly unreachable = false;
  onStalled: ((message: string) => void) | undefined;
  readonly sent: string[] = [];
  readonly #end = deferred<void>();
  readonly #heard = deferred<string>();

  async writeStdin(data: Uint8Array): Promise<void> {
    this.#record(`stdin ${Buffer.from(data).toString()}`);
  }
  async closeStdin(): Promise<void> {
    this.#record("eof");
  }
  async resize(size: { columns: number; rows: number }): Promise<void> {
    this.#record(`resize ${size.columns}x${size.rows}`);
  }
  async kill(signal: string): Promise<void> {
    this.#record(`kill ${signal}`);
  }
  async close(): Promise<void> {
    this.sent.push("close");
    this.#end.reject(new Error("cancelled"));
  }
  end(): void {
    this.#end.resolve();
  }
  /** Resolves with the first thing that was sent. */
  get heard(): Promise<string> {
    return this.#heard.promise;
  }
  #record(what: string): void {
    this.sent.push(what);
    this.#heard.resolve(what);
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, void> {
    yield { fd: 1, data: Buffer.from("out") };
    yield { fd: 2, data: Buffer.from("err") };
    await this.#end.promise;
  }
}

describe("runSession", () => {
  it("puts stdout and stderr where they belong", async () => {
    const world = fakeContext();
    const program = new RecordingProgram();
    program.end();
    assert.equal(await runSession(world.context, program, OPTIONS), "ended");
    assert.deepEqual([world.stdout, world.stderr], ["out", "err"]);
  });

  it("passes input and its end on", async () => {
    const world = fakeContext();
    const program = new RecordingProgram();
    const session = runSession(world.context, program, { ...OPTIONS, stdin: true });
    world.stdin.end("typed");
    world.stdin.once("end", () => program.end());
    await session;
    assert.deepEqual(program.sent, ["stdin typed", "eof"]);
  });

  it("leaves the program's stdin open where it is not ours to close", async () => {
    const world = fakeContext();
    const program = new RecordingProgram();
    const session = runSession(world.context, program, { ...OPTIONS, stdin: true, closeStdin: false });
    world.stdin.end("typed");
    world.stdin.once("end", () => program.end());
    await session;
    assert.deepEqual(program.sent, ["stdin typed"]);
  });

  it("detaches at the keys, on a terminal only", async () => {
    const world = fakeContext({ isTTY: true });
    const program = new RecordingProgram();
    const session = runSession(world.context, program, {
      ...OPTIONS,
      tty: true,
      stdin: true,
      detachKeys: [16, 17],
    });
    world.stdin.write(Buffer.from([97, 16, 17]));
    assert.equal(await session, "detached");
    assert.deepEqual(program.sent, ["resize 80x24", "stdin a", "close"]);
  });

  it("does not look for the keys in a pipe", async () => {
    const world = fakeContext();
    const program = new RecordingProgram();
    const session = runSession(world.context, program, { ...OPTIONS, stdin: true, detachKeys: [16, 17] });
    world.stdin.write(Buffer.from([16, 17]));
    await program.heard;
    program.end();
    assert.equal(await session, "ended");
    assert.deepEqual(program.sent, ["stdin \x10\x11"]);
  });

  it("passes signals on, and stops listening afterwards", async () => {
    const world = fakeContext();
    const program = new RecordingProgram();
    const before = process.listenerCount("SIGUSR2");
    const awake = setInterval(() => undefined, 1000); // a signal alone does not keep the loop of this process going
    const session = runSession(world.context, program, { ...OPTIONS, signals: true });
    process.kill(process.pid, "SIGUSR2");
    assert.equal(await program.heard, "kill SIGUSR2");
    program.end();
    await session;
    clearInterval(awake);
    assert.equal(process.listenerCount("SIGUSR2"), before);
  });

  it("passes a failure on, with everything undone", async () => {
    const world = fakeContext();
    const program = new RecordingProgram();
    const session = runSession(world.context, program, { ...OPTIONS, stdin: true });
    await program.close();
    await assert.rejects(session, /cancelled/);
    assert.equal(world.stdin.listenerCount("data"), 0);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { InputBacklog, type Piece } from "./input-backlog.js";

const never = new AbortController().signal;
const text = (data: string): Piece => ({ data: Buffer.from(data), eof: false });
const END: Piece = { data: new Uint8Array(), eof: true };

async function rest(backlog: InputBacklog): Promise<string[]> {
  const pieces = [];
  for await (const { data, eof } of backlog.rest(never))
    pieces.push(eof ? "<eof>" : Buffer.from(data).toString());
  return pieces;
}

describe("InputBacklog", () => {
  it("gives again what was not taken, from the very byte", async () => {
    const backlog = new InputBacklog();
    for (const piece of [text("abc"), text("def"), END]) await backlog.push(piece, never);
    backlog.close();
    assert.deepEqual(await rest(backlog), ["abc", "def", "<eof>"]);
    backlog.took(4n);
    assert.deepEqual(await rest(backlog), ["ef", "<eof>"]);
    backlog.took(6n);
    assert.deepEqual(await rest(backlog), ["<eof>"]);
    assert.equal(backlog.isDone, false);
    backlog.took(7n);
    assert.deepEqual([await rest(backlog), backlog.isDone], [[], true]);
  });

  it("skips what comes again although it was taken long ago", async () => {
    const backlog = new InputBacklog();
    backlog.took(4n);
    await backlog.push(text("abc"), never);
    await backlog.push(text("def"), never);
    backlog.close();
    assert.deepEqual(await rest(backlog), ["ef"]);
  });

  it("counts from where its writer was", async () => {
    const backlog = new InputBacklog();
    backlog.beginAt(10n);
    await backlog.push(text("abc"), never);
    backlog.took(12n);
    backlog.close();
    assert.deepEqual(await rest(backlog), ["c"]);
  });

  it("makes its writer wait while too much is held, and ends that wait", async () => {
    const backlog = new InputBacklog();
    await backlog.push({ data: new Uint8Array(1 << 20), eof: false }, never);
    let pushed = false;
    const pushing = backlog.push(text("more"), never).then(() => {
      pushed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(pushed, false);
    backlog.took(1n << 20n);
    await pushing;
    const full = { data: new Uint8Array(1 << 20), eof: false };
    await backlog.push(full, never);
    const gone = new AbortController();
    const refused = assert.rejects(backlog.push(text("x"), gone.signal), /gone/);
    gone.abort(new Error("gone"));
    await refused;
    const dropped = backlog.push(text("x"), never);
    backlog.discard();
    await dropped;
  });
});

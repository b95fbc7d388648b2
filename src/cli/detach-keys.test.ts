import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { DetachFilter, parseDetachKeys } from "./detach-keys.js";

const CTRL_P = 16;
const CTRL_Q = 17;

function type(filter: DetachFilter, ...chunks: (string | number[])[]) {
  let typed = "";
  for (const chunk of chunks) {
    const { data, detach } = filter.push(Buffer.from(chunk as string));
    typed += Buffer.from(data).toString("latin1");
    if (detach) return { typed, detached: true };
  }
  return { typed, detached: false };
}

describe("parseDetachKeys", () => {
  it("reads docker's notation", () => {
    assert.deepEqual(parseDetachKeys("ctrl-p,ctrl-q"), [CTRL_P, CTRL_Q]);
    assert.deepEqual(parseDetachKeys("ctrl-@,a,ctrl-["), [0, 97, 27]);
    assert.deepEqual(parseDetachKeys(""), []);
  });

  it("refuses anything else", () => {
    for (const keys of ["ctrl-", "ctrl-pq", "alt-x", "a,,b"])
      assert.throws(() => parseDetachKeys(keys), /detach-keys/);
  });
});

describe("DetachFilter", () => {
  it("finds the keys, in one read or in two", () => {
    const keys = [CTRL_P, CTRL_Q];
    assert.deepEqual(type(new DetachFilter(keys), [97, CTRL_P, CTRL_Q, 98]), { typed: "a", detached: true });
    assert.deepEqual(type(new DetachFilter(keys), [CTRL_P], [CTRL_Q]), { typed: "", detached: true });
  });

  it("gives a first key back when another follows", () => {
    const filter = new DetachFilter([CTRL_P, CTRL_Q]);
    assert.deepEqual(type(filter, [CTRL_P], "x"), { typed: "\x10x", detached: false });
  });

  it("finds keys that begin with a repetition", () => {
    assert.deepEqual(type(new DetachFilter([1, 1, 2]), [1, 1, 1, 2]), { typed: "\x01", detached: true });
  });

  it("lets everything through without keys", () => {
    assert.deepEqual(type(new DetachFilter([]), [CTRL_P, CTRL_Q]), { typed: "\x10\x11", detached: false });
  });

  it("agrees with a plain search, however the input is cut", () => {
    const letters = fc.array(fc.constantFrom(1, 2, 3), { maxLength: 30 });
    const keys = fc.array(fc.constantFrom(1, 2), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(letters, keys, fc.integer({ min: 1, max: 5 }), (input, wanted, cut) => {
        const chunks: number[][] = [];
        for (let at = 0; at < input.length; at += cut) chunks.push(input.slice(at, at + cut));
        const { typed, detached } = type(new DetachFilter(wanted), ...chunks);
        const text = Buffer.from(input).toString("latin1");
        const at = text.indexOf(Buffer.from(wanted).toString("latin1"));
        assert.equal(detached, at >= 0);
        if (at >= 0) assert.equal(typed, text.slice(0, at));
        else assert.ok(text.startsWith(typed) && text.length - typed.length < wanted.length);
      }),
    );
  });
});

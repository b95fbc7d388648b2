import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason, KilnError } from "../../base/errors.js";
import { encodeAcl } from "./acl.js";

const NOBODY = 0xffff_ffff;
type Entry = readonly [tag: number, permissions: number, id?: number];
const MINIMAL: Entry[] = [
  [0x01, 6],
  [0x04, 4],
  [0x20, 1],
];
const FULL: Entry[] = [
  [0x01, 7],
  [0x02, 6, 1234],
  [0x02, 4, 70_000],
  [0x04, 5],
  [0x08, 6, 55],
  [0x10, 3],
  [0x20, 0],
];

describe("encodeAcl", () => {
  it("keeps ids only for named users and groups", () => {
    const value = encodeAcl(syscallForm(FULL), "it")?.value.toString("hex");
    assert.equal(
      value,
      "01000000" +
        "01000700" +
        "02000600d2040000" +
        "0200040070110100" +
        "04000500" +
        "0800060037000000" +
        "10000300" +
        "20000000",
    );
  });

  it("takes the group bits from the mask where there is one", () => {
    assert.equal(encodeAcl(syscallForm(FULL), "it")?.permissions, 0o730);
    assert.equal(encodeAcl(syscallForm(MINIMAL), "it")?.permissions, 0o641);
  });

  it("knows an ACL that says no more than the mode", () => {
    assert.equal(encodeAcl(syscallForm(MINIMAL), "it")?.minimal, true);
    assert.equal(encodeAcl(syscallForm(FULL), "it")?.minimal, false);
  });

  it("takes an empty ACL as none", () => {
    assert.equal(encodeAcl(syscallForm([]), "it"), undefined);
  });

  const damaged: Record<string, Buffer> = {
    "a cut entry": syscallForm(MINIMAL).subarray(0, -1),
    "no header": Buffer.alloc(3),
    "another version": Buffer.concat([Buffer.from([3, 0, 0, 0]), syscallForm(MINIMAL).subarray(4)]),
    "no other": syscallForm(MINIMAL.slice(0, 2)),
    "two owners": syscallForm([[0x01, 7], ...MINIMAL]),
    "entries out of order": syscallForm(FULL.toReversed()),
    "names without a mask": syscallForm(FULL.filter(([tag]) => tag !== 0x10)),
    "an unknown tag": syscallForm([...MINIMAL, [0x40, 1]]),
    "unknown permissions": syscallForm([
      [0x01, 8],
      [0x04, 4],
      [0x20, 1],
    ]),
  };
  for (const [what, value] of Object.entries(damaged)) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => encodeAcl(value, "it"),
        (error) => hasReason(error, "bad-acl"),
      );
    });
  }

  it("takes or refuses any bytes, and never fails otherwise", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          encodeAcl(Buffer.concat([Buffer.from([2, 0, 0, 0]), bytes]), "it");
        } catch (error) {
          assert.ok(error instanceof KilnError);
        }
      }),
    );
  });
});

function syscallForm(entries: readonly Entry[]): Buffer {
  const value = Buffer.alloc(4 + 8 * entries.length);
  value.writeUInt32LE(2);
  entries.forEach(([tag, permissions, id], index) => {
    value.writeUInt16LE(tag, 4 + 8 * index);
    value.writeUInt16LE(permissions, 6 + 8 * index);
    value.writeUInt32LE(id ?? NOBODY, 8 + 8 * index);
  });
  return value;
}

// Files as released versions wrote them, of VMs and of what they are made of: every one is read whole, and nothing of it
// is lost.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseVersioned, type RecordKind } from "../../src/base/versioned.js";
import { COW } from "../../src/disk/cow.js";
import { BASE } from "../../src/engine/disks/bases.js";
import { isWholeRecord, isWholeStatus, parseVmRecord, parseVmStatus } from "../../src/engine/vm/load.js";
import { IMAGE, NAMES } from "../../src/image/store/records.js";
import { KERNEL } from "../../src/kernel/store.js";
import { CHECKOUT } from "../fixtures/assets.js";

const UPGRADE = join(CHECKOUT, "test/upgrade");

const read = (...path: string[]): unknown => JSON.parse(readFileSync(join(UPGRADE, ...path), "utf8"));

function assertReadWhole<T extends { version: number }>(kind: RecordKind<T>, json: unknown): void {
  const parsed = parseVersioned(kind, json);
  assert.deepEqual(parsed?.problems, []);
  assert.deepEqual(withoutNew(parsed.value, json), json);
}

for (const release of readdirSync(UPGRADE)) {
  describe(`state of release ${release}`, () => {
    it("image, names, base and kernel load whole, and nothing of them is lost", () => {
      const all = ["base.json", "image.json", "kernel.json", "names.json", "vms"];
      assert.deepEqual(readdirSync(join(UPGRADE, release)).sort(), all);
      assertReadWhole(IMAGE, read(release, "image.json"));
      assertReadWhole(NAMES, read(release, "names.json"));
      assertReadWhole(BASE, read(release, "base.json"));
      assertReadWhole(KERNEL, read(release, "kernel.json"));
    });

    for (const name of readdirSync(join(UPGRADE, release, "vms"))) {
      it(`${name}: record, status and cow load whole, and nothing of them is lost`, () => {
        const all = ["cow.json", "status.json", "vm.json"];
        assert.deepEqual(readdirSync(join(UPGRADE, release, "vms", name)).sort(), all);
        const recordJson = read(release, "vms", name, "vm.json");
        const record = parseVmRecord(recordJson);
        assert.ok(record && isWholeRecord(record, recordJson));
        assert.deepEqual(record.problems, []);
        assert.deepEqual(withoutNew(record.value, recordJson), recordJson);
        const statusJson = read(release, "vms", name, "status.json");
        const status = parseVmStatus(statusJson);
        assert.ok(status && isWholeStatus(status, statusJson));
        assert.deepEqual(status.problems, []);
        assert.deepEqual(withoutNew(status.value, statusJson), statusJson);
        assertReadWhole(COW, read(release, "vms", name, "cow.json"));
      });
    }
  });
}

/** Without the defaults of fields that came later. */
function withoutNew(value: unknown, old: unknown): unknown {
  if (Array.isArray(value)) return value.map((item, index) => withoutNew(item, (old as unknown[])[index]));
  if (typeof value !== "object" || value === null) return value;
  const known = Object.entries(value).filter(([key]) => key in (old as object));
  return Object.fromEntries(
    known.map(([key, inner]) => [key, withoutNew(inner, (old as Record<string, unknown>)[key])]),
  );
}

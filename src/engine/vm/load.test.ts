// Files of VMs as released versions wrote them: every one loads whole, and nothing of it is lost.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CHECKOUT } from "../../../test/fixtures/assets.js";
import { isWholeRecord, isWholeStatus, parseVmRecord, parseVmStatus } from "./load.js";

const UPGRADE = join(CHECKOUT, "test/upgrade");

const read = (...path: string[]): unknown => JSON.parse(readFileSync(join(UPGRADE, ...path), "utf8"));

for (const release of readdirSync(UPGRADE)) {
  describe(`state of release ${release}`, () => {
    for (const name of readdirSync(join(UPGRADE, release, "vms"))) {
      it(`${name}: record and status load whole, and nothing of them is lost`, () => {
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
      });
    }
  });
}

/** Without the defaults of fields that came later. */
function withoutNew(value: unknown, old: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const known = Object.entries(value).filter(([key]) => key in (old as object));
  return Object.fromEntries(
    known.map(([key, inner]) => [key, withoutNew(inner, (old as Record<string, unknown>)[key])]),
  );
}

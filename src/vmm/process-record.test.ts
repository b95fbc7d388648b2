import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type ProcessRecord, readProcessRecord, writeProcessRecord } from "./process-record.js";

const RECORD: ProcessRecord = {
  version: 1,
  vmId: "a".repeat(64),
  driver: "qemu",
  spawned: { pid: 100, startTime: "12345" },
  vmm: { pid: 101, startTime: "12346" },
  executable: "/usr/bin/bwrap",
  uid: 1_900_000_000,
};

describe("the record of a VM's processes", () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-record-"));
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it("is read as it was written, with the VMM known or not", async () => {
    const { vmm: _, ...early } = RECORD;
    for (const record of [early, RECORD]) {
      writeProcessRecord(directory, record);
      assert.deepEqual(await readProcessRecord(directory), record);
    }
  });

  it("is not believed where it is damaged or names no process", async () => {
    const wrong = [
      "",
      "{",
      "null",
      JSON.stringify({ ...RECORD, spawned: { pid: 1, startTime: "0" } }),
      JSON.stringify({ ...RECORD, spawned: { pid: -1, startTime: "0" } }),
      JSON.stringify({ ...RECORD, vmm: { pid: 5, startTime: "" } }),
    ];
    for (const text of wrong) {
      await writeFile(join(directory, "process.json"), text);
      assert.equal(await readProcessRecord(directory), undefined, text);
    }
    assert.equal(await readProcessRecord(join(directory, "missing")), undefined);
  });
});

// Each file of a volume damaged in every way: none is lost, none is filled again or pruned, and the disk stays as it is.

import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import {
  damageFile,
  missingFields,
  nonsenseFields,
  OTHER_RELEASE,
  UNREADABLE,
} from "../../../test/fixtures/damage.js";
import { GIB, specOf, volumeCase } from "../../../test/fixtures/volume-case.js";
import type { VolumeEntry } from "./entry.js";

const on = volumeCase();
const FILES = ["volume.json", "status.json"];

/** A volume that was filled, and one of its files. */
async function filled(file: string) {
  const volumes = await on.open();
  const { entry } = await volumes.create(specOf("data", { sizeBytes: GIB, labels: { a: "b" } }));
  await volumes.markFilled(entry.id);
  const path = on.path(entry.id, file);
  return { id: entry.id, path, text: await readFile(path, "utf8") };
}

async function restore(path: string, text: string): Promise<void> {
  for (const each of [path, `${path}.bak`]) {
    await rm(each, { recursive: true, force: true });
    await writeFile(each, text);
  }
}

async function found(id: string, what: string): Promise<VolumeEntry> {
  const volumes = await on.open();
  assert.deepEqual(
    volumes.list().map((entry) => entry.id),
    [id],
    what,
  );
  const entry = volumes.find(id);
  assert.deepEqual([entry.sizeBytes, entry.isEmpty, entry.anonymous], [GIB, false, false], what);
  (await volumes.use(id, { vm: "v", name: "web", readOnly: false }))();
  return entry;
}

describe("a volume of which one file is damaged", () => {
  for (const file of FILES) {
    it(`${file}: is whole by the copy where it can't be read`, async () => {
      const { id, path, text } = await filled(file);
      for (const damage of UNREADABLE) {
        await restore(path, text);
        await damageFile(path, damage);
        const { name, record, recordFlaw } = await found(id, damage.what);
        assert.deepEqual([name, record.labels, recordFlaw], ["data", { a: "b" }, undefined], damage.what);
      }
    });

    it(`${file}: is there with what can be read of it where both are damaged`, async () => {
      const { id, path, text } = await filled(file);
      const kinds = [...UNREADABLE, ...OTHER_RELEASE, ...missingFields(text), ...nonsenseFields(text)];
      assert.ok(kinds.length > 15, `${kinds.length}`);
      for (const damage of kinds) {
        await restore(path, text);
        await damageFile(path, damage, true);
        const { name } = await found(id, damage.what);
        assert.ok(["data", id].includes(name), damage.what);
      }
    });
  }
});

// The record of a network damaged in every way: none is lost, pruned, or given another network's addresses.

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
import { networkCase, orderOf } from "../../../test/fixtures/network-case.js";
import type { NetworkEntry } from "./entry.js";
import { NetworkVerbs } from "./network-verbs.js";

const on = networkCase();

/** A network, and its file. */
async function made() {
  const networks = await on.open();
  const { id } = await networks.create(orderOf("web", { ipv6: true, labels: { a: "b" } }));
  const path = on.path(id, "network.json");
  return { id, path, text: await readFile(path, "utf8") };
}

async function restore(path: string, text: string): Promise<void> {
  for (const each of [path, `${path}.bak`]) {
    await rm(each, { recursive: true, force: true });
    await writeFile(each, text);
  }
}

async function found(id: string, what: string): Promise<NetworkEntry> {
  const networks = await on.open();
  assert.deepEqual(
    networks.list().map((entry) => entry.id),
    [id],
    what,
  );
  const entry = networks.find(id);
  const verbs = new NetworkVerbs({ networks, references: on.references, now: Date.now });
  if (entry.recordFlaw !== undefined) assert.deepEqual(await verbs.prune(), [], what);
  assert.equal(verbs.find(id).id, id, what);
  return entry;
}

describe("a network whose record is damaged", () => {
  it("is whole by the copy where it can't be read", async () => {
    const { id, path, text } = await made();
    for (const damage of UNREADABLE) {
      await restore(path, text);
      await damageFile(path, damage);
      const { name, record, recordFlaw } = await found(id, damage.what);
      assert.deepEqual([name, record.labels, recordFlaw], ["web", { a: "b" }, undefined], damage.what);
    }
  });

  it("is there with what can be read of it where both are damaged", async () => {
    const { id, path, text } = await made();
    const kinds = [...UNREADABLE, ...OTHER_RELEASE, ...missingFields(text), ...nonsenseFields(text)];
    assert.ok(kinds.length > 15, `${kinds.length}`);
    for (const damage of kinds) {
      await restore(path, text);
      await damageFile(path, damage, true);
      const { name } = await found(id, damage.what);
      assert.ok(["web", id].includes(name), damage.what);
    }
  });
});

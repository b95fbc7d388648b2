// Databases on a shared directory: SQLite with its log and shared memory, PostgreSQL under pgbench.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { noUsers, ShareGuest } from "../e2e/share-guest.js";
import { postgres } from "../e2e/share-postgres.js";
import { killedWriter, sqlite } from "../e2e/share-sqlite.js";

describe("SQLite on a shared directory", () => {
  let guest: ShareGuest;
  before(async () => {
    guest = await ShareGuest.start({ image: "programs" });
  });
  after(() => guest.dispose());

  it("has what two writers and a reader at once count on, with a log ahead", () =>
    sqlite(guest, { mode: "wal", transactions: 400 }));

  it("has it with a journal that is rolled back, too", () =>
    sqlite(guest, { mode: "delete", transactions: 100 }));

  it("loses nothing of what was committed when a writer is killed", () => killedWriter(guest));
});

describe("PostgreSQL on a shared directory", { skip: noUsers }, () => {
  let guest: ShareGuest;
  before(async () => {
    guest = await ShareGuest.start({ image: "programs", users: true });
  });
  after(() => guest.dispose());

  it("holds its data under pgbench, over a crash and a restart of the VM", () =>
    postgres(guest, { scale: 2, clients: 4, transactions: 100 }, async () => {
      await guest.kiln.ok(["stop", "box"]);
      await guest.kiln.ok(["start", "box"]);
      assert.equal(await guest.sh("stat -c %U /work/pg"), "postgres");
    }));
});

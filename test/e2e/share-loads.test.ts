// Real work on a shared directory, as much as an ordinary run has time for; `npm test -- e2e-shares` has the rest.

import { after, before, describe, it } from "node:test";
import { noUsers, ShareGuest } from "./share-guest.js";
import { hostEdits, manyFiles, manyNames, oddNames, sparseFile } from "./share-loads.js";
import { postgres } from "./share-postgres.js";

describe("a shared directory at work", () => {
  let guest: ShareGuest;
  before(async () => {
    guest = await ShareGuest.start({ image: "debian" });
  });
  after(() => guest.dispose());

  it("has 300 files made, found, read and removed", () => manyFiles(guest, 3));
  it("has a directory of 20,000 names", () => manyNames(guest, 20_000));
  it("has a file of more than 4 GiB", () => sparseFile(guest));
  it("has names that are no UTF-8", () => oddNames(guest));
  it("has each edit of the host at the next read", () => hostEdits(guest, 6));
});

describe("a shared directory whose users are the VM's", { skip: noUsers }, () => {
  let guest: ShareGuest;
  before(async () => {
    guest = await ShareGuest.start({ image: "postgres", users: true });
  });
  after(() => guest.dispose());

  it("holds PostgreSQL's data, over a crash and a restart of the VM", () =>
    postgres(guest, { scale: 0, clients: 2, transactions: 20 }, async () => {
      await guest.kiln.ok(["restart", "box"]);
    }));
});

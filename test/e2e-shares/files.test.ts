// Many files, many names and long ones on a shared directory.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ShareGuest } from "../e2e/share-guest.js";
import { hostEdits, manyFiles, manyNames, oddNames, sparseFile } from "../e2e/share-loads.js";

const LONG = { timeoutMs: 50 * 60_000 };

describe("files on a shared directory", () => {
  let guest: ShareGuest;
  before(async () => {
    guest = await ShareGuest.start({ image: "debian" });
  });
  after(() => guest.dispose());

  it("are made, found, read and removed, 10,000 of them", () => manyFiles(guest, 100));
  it("are edited by the host and read anew, 60 times", () => hostEdits(guest, 60));
  it("have names that are no UTF-8", () => oddNames(guest));
  it("have holes of more than 4 GiB", () => sparseFile(guest));

  it("are as long as 4 GiB and more, and the same on both sides", async () => {
    await guest.host("head -c 4300000000 /dev/urandom > long");
    await guest.give();
    await guest.sh("cd /work; cp long copy; sync copy", LONG);
    assert.equal(await guest.host("cmp long copy && stat -c %s copy"), "4300000000");
    await guest.host("printf '!!' | dd of=long bs=1 seek=4299999998 conv=notrunc status=none");
    const differs = await guest.sh("cd /work; cmp long copy || true", LONG);
    assert.match(differs, /(byte|char) (4299999999|4300000000)/);
    await guest.sh("rm /work/long /work/copy");
  });

  it("are 100,000 in one directory, listed and removed", async () => {
    await manyNames(guest, 100_000);
    await guest.sh("rm -r /work/names", LONG);
    assert.equal(await guest.host("ls -d names 2> /dev/null || echo gone"), "gone");
  });
});

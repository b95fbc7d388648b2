// `npm ci` on a shared directory, from a cache that the host has filled: the tree is the one that the host's npm makes.

import assert from "node:assert/strict";
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ShareGuest } from "../e2e/share-guest.js";
import { CHECKOUT } from "../fixtures/assets.js";

/** What kiln itself depends on. */
const CI = "npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error";
const TREE =
  "find node_modules -type f ! -name .package-lock.json -print0 | LC_ALL=C sort -z | xargs -0 sha256sum";
const LONG = { timeoutMs: 50 * 60_000 };

describe("npm on a shared directory", () => {
  let guest: ShareGuest;
  before(async () => {
    guest = await ShareGuest.start({ image: "programs" });
    for (const place of ["project", "witness"]) {
      await mkdir(join(guest.shared, place));
      for (const file of ["package.json", "package-lock.json"])
        await copyFile(join(CHECKOUT, file), join(guest.shared, place, file));
    }
    await guest.host(`cd witness; ${CI} --cache ../cache`);
    await guest.give();
  });
  after(() => guest.dispose());

  it("installs what the host's does, twice over", async () => {
    const ci = `cd /work/project; ${CI} --offline --cache /work/cache 2>&1`;
    await guest.sh(ci, LONG);
    const want = await guest.host(`cd witness; ${TREE}`);
    assert.ok(want.split("\n").length > 200, "it is a tree worth the name");
    assert.equal(await guest.host(`cd project; ${TREE}`), want);
    assert.equal(await guest.sh(`cd /work/project; ${TREE}`), want);
    // The second time it removes all of it first.
    await guest.sh(ci, LONG);
    assert.equal(await guest.host(`cd project; ${TREE}`), want);
    const list =
      "npm ls --omit=dev --all --parseable | sed 's|.*/node_modules/||' | tail -n +2 | LC_ALL=C sort";
    const seen = await guest.sh(`cd /work/project; ${list}`, LONG);
    assert.equal(seen, await guest.host(`cd project; ${list}`));
  });

  it("has modules that load", async () => {
    const { dependencies } = JSON.parse(await readFile(join(CHECKOUT, "package.json"), "utf8"));
    // Connect's need newer Nodes than Debian's.
    const names = Object.keys(dependencies).filter((name) => !name.startsWith("@connectrpc/"));
    const script = `Promise.all(${JSON.stringify(names)}.map((name) => import(name))).then((all) => console.log(all.length))`;
    const seen = await guest.sh(`cd /work/project; node --input-type=module -e '${script}'`);
    assert.equal(seen, String(names.length));
  });
});

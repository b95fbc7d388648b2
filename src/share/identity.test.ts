import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, rmdir, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { isSame, type SourceIdentity } from "./identity.js";
import { startServer } from "./server.js";
import { openSource } from "./source.js";
import type { ShareSpec } from "./types.js";

describe("which directory a share's source is", () => {
  let root = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-identity-"));
  });
  after(() => rm(root, { recursive: true, force: true }));

  async function identityAt(path: string): Promise<SourceIdentity> {
    await using source = await openSource({ source: path });
    return source.identity;
  }

  it("is the same by whatever name, and whatever is in it", async () => {
    const path = join(root, "named");
    await mkdir(path);
    const first = await identityAt(path);
    await writeFile(join(path, "new"), "x");
    await rename(path, `${path}.moved`);
    await symlink(`${path}.moved`, path);
    assert.ok(isSame(await identityAt(path), first));
  });

  it("is another one where it was removed and made again, even with the inode of before", async () => {
    const path = join(root, "made");
    await mkdir(path);
    const first = await identityAt(path);
    await rmdir(path);
    await mkdir(path);
    assert.ok(!isSame(await identityAt(path), first));
  });

  it("of one file is its directory and its name, whichever file has that", async () => {
    const path = join(root, "a.conf");
    await writeFile(path, "old");
    const first = await identityAt(path);
    await writeFile(`${path}.new`, "new");
    await rename(`${path}.new`, path);
    assert.ok(isSame(await identityAt(path), first));
    await writeFile(join(root, "b.conf"), "other");
    await unlink(path);
    await symlink("b.conf", path);
    assert.ok(!isSame(await identityAt(path), first));
  });

  it("is compared by a server that takes another one's place", async () => {
    const source = join(root, "served");
    await mkdir(source);
    const same = await identityAt(source);
    await rename(source, `${source}.old`);
    await mkdir(source);
    const spec: ShareSpec = {
      ...{ id: "s0", source, readOnly: false, notify: false },
      map: { kind: "squash", uid: 0, gid: 0 },
    };
    const unasked = () => assert.fail("it goes no further");
    const connection = {
      ...{ runDirectory: root, guestEnd: unasked, as: undefined, environment: undefined },
      ...{ join: unasked, vmLives: unasked },
    };
    await assert.rejects(startServer("/nowhere", spec, connection, same), (error) =>
      hasReason(error, "share-source-replaced"),
    );
  });
});

import assert from "node:assert/strict";
import { chmod, chown, mkdir, mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasReason, KilnError } from "./errors.js";
import {
  type Facts,
  faultOf,
  makeTrustedDirectory,
  outsideUser,
  refuseSharedRoot,
  requireTrusted,
} from "./trusted-path.js";

const SOCKET = 0o140000;
const ALICE = { uid: 1000, gid: 1000 };
const ROOT = { uid: 0, gid: 0 };

describe("faultOf", () => {
  const directory = (uid: number, gid: number, mode: number): Facts => ({
    uid,
    gid,
    mode,
    kind: "directory",
  });
  const rows: [string, Facts, typeof ALICE, RegExp | undefined][] = [
    ["her own", directory(1000, 1000, 0o755), ALICE, undefined],
    ["root's", directory(0, 0, 0o755), ALICE, undefined],
    ["a neighbour's", directory(1001, 1001, 0o700), ALICE, /user 1001/],
    ["hers, asked by root", directory(1000, 1000, 0o700), ROOT, /user 1000/],
    ["open to all", directory(1000, 1000, 0o777), ALICE, /every user/],
    ["open to all but sticky", directory(0, 0, 0o1777), ALICE, undefined],
    ["a neighbour's sticky one", directory(1001, 0, 0o1777), ALICE, /user 1001/],
    ["open to a group", directory(0, 50, 0o775), ALICE, /group 50/],
    ["open to the group of her own", directory(1000, 1000, 0o775), ALICE, undefined],
    [
      "open to her group, which is no group of her own",
      directory(1000, 100, 0o775),
      { uid: 1000, gid: 100 },
      /100/,
    ],
    ["open to root's group, for root", directory(0, 0, 0o775), ROOT, /group 0/],
    ["a file open to all", { uid: 1000, gid: 1000, mode: 0o100666, kind: "other" }, ALICE, /every user/],
    [
      "a sticky file open to all",
      { uid: 1000, gid: 1000, mode: 0o101666, kind: "other" },
      ALICE,
      /every user/,
    ],
    ["a socket for a group", { uid: 0, gid: 50, mode: SOCKET | 0o660, kind: "other" }, ALICE, undefined],
    ["a neighbour's socket", { uid: 1001, gid: 50, mode: SOCKET | 0o600, kind: "other" }, ALICE, /user 1001/],
    ["her link", { uid: 1000, gid: 1000, mode: 0o120777, kind: "link" }, ALICE, undefined],
    ["a neighbour's link", { uid: 1001, gid: 1001, mode: 0o120777, kind: "link" }, ALICE, /user 1001/],
  ];
  for (const [what, facts, self, expected] of rows) {
    it(`of what is ${what}: ${expected ?? "none"}`, () => {
      const fault = faultOf(facts, self);
      if (expected === undefined) assert.equal(fault, undefined);
      else assert.match(fault ?? "", expected);
    });
  }
});

describe("trusted paths", () => {
  let root = "";
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-trust-"));
  });
  after(() => rm(root, { recursive: true, force: true }));

  it("are made for us alone where they are missing, as root with a passage, whatever the umask", async () => {
    const path = join(root, "a/b");
    assert.equal(await requireTrusted(path), false);
    const umask = process.umask(0o077);
    await makeTrustedDirectory(path).finally(() => process.umask(umask));
    for (const made of [path, join(root, "a")])
      assert.equal((await stat(made)).mode & 0o7777, process.getuid?.() === 0 ? 0o711 : 0o700);
    assert.equal(await requireTrusted(path), true);
  });

  it("stay as they are where they are there already, special bits included", async () => {
    const there = join(root, "there");
    await mkdir(there);
    for (const mode of [0o700, 0o1777, 0o2750]) {
      await chmod(there, mode);
      await makeTrustedDirectory(join(there, `x${mode}`));
      await makeTrustedDirectory(there);
      assert.equal((await stat(there)).mode & 0o7777, mode);
    }
  });

  it("say at once that they can't be made: in /proc, below a file, in place of one", async () => {
    const file = join(root, "file");
    await writeFile(file, "");
    for (const path of ["/proc/kiln-not-here/run", join(file, "run"), file]) {
      await assert.rejects(makeTrustedDirectory(path), (error) => {
        assert.ok(error instanceof KilnError);
        assert.ok(error.message.startsWith(`make the directory ${path}: `), error.message);
        assert.match(error.hint ?? "", /KILN_ROOT/);
        return true;
      });
    }
  });

  it("are no roots of kiln's where everybody may write, sticky or not", async () => {
    const shared = join(root, "shared-root");
    await mkdir(shared);
    for (const mode of [0o777, 0o1777]) {
      await chmod(shared, mode);
      await assert.rejects(refuseSharedRoot(shared), (error) => {
        assert.ok(
          hasReason(error, "unsafe-path") && (error as Error).message.startsWith(`${shared} can't be`),
        );
        return true;
      });
      assert.equal((await stat(shared)).mode & 0o7777, mode);
    }
    await refuseSharedRoot(root);
    await refuseSharedRoot(join(root, "missing"));
  });

  it("are not made below a directory that others may write", async () => {
    const open = join(root, "open");
    await mkdir(open);
    await chmod(open, 0o777);
    const refused = (error: unknown) =>
      hasReason(error, "unsafe-path") && (error as Error).message.includes(`${open} can't be trusted`);
    await assert.rejects(makeTrustedDirectory(join(open, "x")), refused);
    await assert.rejects(stat(join(open, "x")));
  });

  it("follow .. after a link as the kernel does", async () => {
    await mkdir(join(root, "deep/real"), { recursive: true });
    await mkdir(join(root, "deep/beside"));
    await chmod(join(root, "deep/beside"), 0o777);
    await symlink("deep/real", join(root, "short"));
    await assert.rejects(requireTrusted(`${join(root, "short")}/../beside`), (error) =>
      hasReason(error, "unsafe-path"),
    );
  });

  const skip = process.getuid?.() === 0 ? false : "only root can give a file to somebody";
  it("take the host's root for root inside a user namespace, where nobody else can have put it there", {
    skip,
  }, async () => {
    const OUTSIDE = 65_534;
    const inside = { ...ROOT, outside: OUTSIDE };
    const trusts = (path: string, self: typeof ROOT) =>
      requireTrusted(path, self).catch((error) => !hasReason(error, "unsafe-path"));
    const path = join(root, "etc/kiln");
    await mkdir(path, { recursive: true });
    for (const part of [path, join(root, "etc")]) await chown(part, OUTSIDE, OUTSIDE);
    assert.equal(await trusts(path, inside), true);
    assert.equal(await trusts(path, ROOT), false, "outside it is a user as any other");
    await chmod(join(root, "etc"), 0o1777);
    assert.equal(await trusts(path, inside), false, "a neighbour may have put it there");
    await chmod(join(root, "etc"), 0o755);
    await chmod(path, 0o777);
    assert.equal(await trusts(path, inside), false, "all may write it");
  });
});

describe("outsideUser", () => {
  it("is the overflow number where the namespace has no such user of its own", () => {
    assert.equal(outsideUser("65534\n", "         0          0 4294967295\n"), undefined);
    assert.equal(outsideUser("65534\n", "         0       1000          1\n"), 65_534);
    assert.equal(outsideUser("65534\n", "0 1000 1\n1 100000 65533\n"), 65_534);
    assert.equal(outsideUser("65534\n", "0 1000 1\n1 100000 65534\n"), undefined);
    assert.equal(outsideUser("", ""), undefined);
  });
});

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ACL_TAG, type AclEntry, aclValue } from "../../../test/fixtures/images/attributes.js";
import { writeLayer } from "../../../test/fixtures/images/image-layout.js";
import { MemorySink } from "../../../test/fixtures/images/memory-sink.js";
import { archive, type TarSpec } from "../../../test/fixtures/images/tar-writer.js";
import { type ListedNode, listTree } from "../../../test/fixtures/images/tree-listing.js";
import { type MergeStats, mergeLayers } from "./merge.js";

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-merge-"));
});
after(() => rm(directory, { recursive: true, force: true }));

interface Merged {
  readonly paths: string[];
  readonly stats: MergeStats;
  readonly freed: number;
  at(path: string): ListedNode;
}

async function merge(...layers: (readonly TarSpec[])[]): Promise<Merged> {
  const blobs = [];
  for (const members of layers)
    blobs.push(await writeLayer(directory, { tar: archive(members), compression: "none" }));
  const sink = new MemorySink();
  const { root, stats } = await mergeLayers({ layers: blobs, sink });
  await sink.finish(root);
  const listing = listTree(root);
  const at = (path: string) => {
    const node = listing.get(path);
    assert.ok(node !== undefined, `${path} is there`);
    return node;
  };
  return { paths: [...listing.keys()].slice(1), stats, freed: sink.freed, at };
}

const file = (path: string, data = path): TarSpec => ({ path, data });
const folder = (path: string, more: Partial<TarSpec> = {}): TarSpec => ({ path, type: "directory", ...more });
const link = (path: string, linkTarget: string): TarSpec => ({ path, type: "hardlink", linkTarget });
const symlink = (path: string, linkTarget: string): TarSpec => ({ path, type: "symlink", linkTarget });

describe("merging layers", () => {
  it("gives an empty root without layers, with times and owners that are always the same", async () => {
    const { paths, at } = await merge();
    assert.deepEqual(paths, []);
    const { type, mode, uid, gid, mtimeNs } = at("");
    assert.deepEqual(
      { type, mode, uid, gid, mtimeNs },
      { type: "directory", mode: "755", uid: 0, gid: 0, mtimeNs: "0" },
    );
  });

  it("takes the root's attributes from its entry", async () => {
    const { at } = await merge([folder("./", { mode: 0o700, uid: 3, xattrs: { "user.r": "r" } })]);
    assert.deepEqual([at("").mode, at("").uid, at("").xattrs], ["700", 3, { "user.r": "72" }]);
  });

  it("makes missing parents as root's, 0755, of the epoch", async () => {
    const { at } = await merge([file("a/b/c")]);
    assert.deepEqual([at("a/b").mode, at("a/b").mtimeNs], ["755", "0"]);
  });

  it("passes a set-group-ID parent's group on to the directories it makes", async () => {
    const { at } = await merge([folder("d", { mode: 0o2775, gid: 50 }), file("d/e/f/g")]);
    assert.deepEqual([at("d/e").mode, at("d/e/f").mode, at("d/e/f").gid], ["2755", "2755", 50]);
  });

  it("keeps a directory's time when its content changes later", async () => {
    const { at } = await merge(
      [folder("d", { mtimeNs: 7n }), file("d/a")],
      [file("d/b"), { path: "d/.wh.a" }],
    );
    assert.equal(at("d").mtimeNs, "7");
  });

  it("counts what it did", async () => {
    const { stats, freed } = await merge([file("a", "12345"), file("b", "123")], [{ path: ".wh.a" }]);
    assert.equal(freed, 1);
    assert.deepEqual(stats, {
      layers: 2,
      entries: 3,
      uncompressedBytes: 2048 + 1024 + 1536,
      writtenBytes: 8,
      freedBytes: 5,
    });
  });
});

describe("entries over entries", () => {
  it("replace a file, its data given back", async () => {
    const { at, freed } = await merge([file("a", "old")], [file("a", "newer")]);
    assert.deepEqual([at("a").size, freed], [5, 1]);
  });

  it("keep a directory's content and take all of its attributes", async () => {
    const below = folder("d", { mode: 0o700, uid: 9, xattrs: { "user.old": "1" } });
    const { paths, at } = await merge([below, file("d/kept")], [folder("d", { mode: 0o711 })]);
    assert.deepEqual(paths, ["d", "d/kept"]);
    assert.deepEqual([at("d").mode, at("d").uid, at("d").xattrs], ["711", 0, {}]);
  });

  it("remove a directory's content when they are something else", async () => {
    const { paths, freed } = await merge([file("d/a"), file("d/e/b")], [symlink("d", "x")]);
    assert.deepEqual([paths, freed], [["d"], 2]);
  });

  it("replace a symlink by a directory instead of following it", async () => {
    const { at, paths } = await merge([folder("t"), symlink("l", "t")], [folder("l"), file("l/x")]);
    assert.equal(at("l").type, "directory");
    assert.deepEqual(paths, ["l", "l/x", "t"]);
  });

  it("let the last of one layer win", async () => {
    const { at, freed } = await merge([file("a", "1"), file("a", "22"), symlink("b", "x"), file("b", "333")]);
    assert.deepEqual([at("a").size, at("b").size, freed], [2, 3, 1]);
  });

  it("replace a lower file where they need a directory", async () => {
    const { paths } = await merge([file("a")], [file("a/b")]);
    assert.deepEqual(paths, ["a", "a/b"]);
  });
});

describe("whiteouts", () => {
  it("hide files and directories of lower layers", async () => {
    const { paths, freed } = await merge([file("a"), file("d/b")], [{ path: ".wh.a" }, { path: ".wh.d" }]);
    assert.deepEqual([paths, freed], [[], 2]);
  });

  it("hide nothing of their own layer, wherever they stand in it", async () => {
    const layer = [
      { path: ".wh.a" },
      file("a"),
      file("b"),
      { path: ".wh.b" },
      file("d/new"),
      { path: ".wh.d" },
    ];
    const { paths } = await merge([file("a", "old"), file("b", "old"), file("d/old")], layer);
    assert.deepEqual(paths, ["a", "b", "d", "d/new"]);
  });

  it("hide what an earlier layer brought after hiding it", async () => {
    const { paths } = await merge([file("a")], [{ path: ".wh.a" }], [file("a")], [{ path: ".wh.a" }]);
    assert.deepEqual(paths, []);
  });

  it("keep the inode of a file that has other names", async () => {
    const { paths, freed, at } = await merge([file("a", "x"), link("b", "a")], [{ path: ".wh.a" }]);
    assert.deepEqual([paths, freed, at("b").size], [["b"], 0, 1]);
  });

  it("spare a new name for a lower inode", async () => {
    const { paths } = await merge([file("a")], [link("b", "a"), { path: ".wh.a" }, { path: ".wh.b" }]);
    assert.deepEqual(paths, ["b"]);
  });

  it("may hide what is not there", async () => {
    const { paths } = await merge(
      [file("f")],
      [{ path: ".wh.x" }, { path: "no/.wh.x" }, { path: "f/.wh.x" }],
    );
    assert.deepEqual(paths, ["f"]);
  });

  it("work through symlinked parents", async () => {
    const { paths } = await merge([file("usr/lib/x"), symlink("lib", "usr/lib")], [{ path: "lib/.wh.x" }]);
    assert.deepEqual(paths, ["lib", "usr", "usr/lib"]);
  });

  it("are refused when they name nothing that can be hidden", async () => {
    for (const name of [".wh.", ".wh..", ".wh..."]) {
      await assert.rejects(merge([{ path: `d/${name}` }]), { reason: "bad-whiteout" }, name);
    }
  });

  it("of aufs's own kind are left out, names in its link directory linked first", async () => {
    const plink = ".wh..wh.plnk/123.456";
    const { paths, at } = await merge([
      { path: ".wh..wh.aufs" },
      folder(".wh..wh.plnk"),
      file(plink),
      link("a", plink),
    ]);
    assert.deepEqual([paths, at("a").size], [["a"], plink.length]);
  });
});

describe("opaque directories", () => {
  it("hide all that is lower and nothing that is not", async () => {
    const lower = [file("d/old"), file("d/sub/old"), file("d/gone/old")];
    const upper = [file("d/sub/new"), { path: "d/.wh..wh..opq" }, file("d/new")];
    const { paths, freed } = await merge(lower, upper);
    assert.deepEqual([paths, freed], [["d", "d/new", "d/sub", "d/sub/new"], 3]);
  });

  it("may be the root", async () => {
    assert.deepEqual((await merge([file("a")], [file("b"), { path: ".wh..wh..opq" }])).paths, ["b"]);
  });

  it("are hidden themselves by a whiteout of the same layer", async () => {
    const { paths } = await merge([file("d/a")], [{ path: "d/.wh..wh..opq" }, { path: ".wh.d" }]);
    assert.deepEqual(paths, []);
  });

  it("hide again in the next layer", async () => {
    const opaque = { path: "d/.wh..wh..opq" };
    assert.deepEqual((await merge([file("d/1")], [file("d/2"), opaque], [file("d/3"), opaque])).paths, [
      "d",
      "d/3",
    ]);
  });
});

describe("hard links", () => {
  it("share an inode within a layer and across layers", async () => {
    const { at } = await merge([file("a"), link("b", "a")], [link("d/c", "/b")]);
    assert.deepEqual([at("b").linkedTo, at("d/c").linkedTo], ["a", "a"]);
  });

  it("keep the old inode when a later entry takes their target's name", async () => {
    const { at, freed } = await merge([file("a", "old")], [link("b", "a"), file("a", "newer")]);
    assert.deepEqual([at("b").size, at("a").size, freed], [3, 5, 0]);
  });

  it("may be to symlinks, and go through symlinked parents", async () => {
    const { at } = await merge(
      [file("usr/x"), symlink("l", "usr"), symlink("s", "usr/x")],
      [link("a", "l/x"), link("b", "s")],
    );
    assert.deepEqual([at("a").linkedTo, at("b").linkedTo, at("b").type], ["a", "b", "symlink"]);
    assert.equal(at("usr/x").linkedTo, "a");
  });

  it("to themselves change nothing", async () => {
    const { paths, freed } = await merge([file("a"), link("./a", "a")]);
    assert.deepEqual([paths, freed], [["a"], 0]);
  });

  it("are refused to what is missing, a directory, or outside", async () => {
    await assert.rejects(merge([link("a", "nothing")]), {
      reason: "link-target-missing",
      message: /"a".*"nothing"/,
    });
    await assert.rejects(merge([folder("d"), link("a", "d")]), { reason: "link-to-directory" });
    await assert.rejects(merge([link("a", "/")]), { reason: "link-to-directory" });
    await assert.rejects(merge([file("x"), link("a", "../x")]), { reason: "path-escape" });
  });

  it("to what they replace are refused", async () => {
    await assert.rejects(merge([file("d/x")], [link("d", "d/x")]), { reason: "link-target-missing" });
  });
});

describe("symlinked parents", () => {
  it("are followed inside the root, however they are written", async () => {
    const base = [
      folder("usr/lib"),
      symlink("relative", "usr/lib"),
      symlink("absolute", "/usr/lib"),
      symlink("above", "../../../../usr/./lib/"),
      symlink("chain", "absolute"),
      symlink("usr/up", "../relative"),
    ];
    const upper = ["relative", "absolute", "above", "chain", "usr/up"].map((name, i) => file(`${name}/${i}`));
    const { paths } = await merge(base, upper);
    assert.deepEqual(
      paths.filter((path) => /\d$/.test(path)),
      [0, 1, 2, 3, 4].map((i) => `usr/lib/${i}`),
    );
  });

  it("that dangle have their target made", async () => {
    assert.deepEqual((await merge([symlink("l", "a/b")], [file("l/x")])).paths, ["a", "a/b", "a/b/x", "l"]);
  });

  it("are refused when they go in a circle", async () => {
    const circle = [symlink("a", "b"), symlink("b", "a")];
    await assert.rejects(merge(circle, [file("a/x")]), { code: 3, reason: "symlink-loop", message: /"a"/ });
  });

  it("are refused when they multiply", async () => {
    const long = Array.from({ length: 30 }, (_, i) => symlink(`l${i}`, `l${i + 1}/`.repeat(900)));
    await assert.rejects(merge(long, [file("l0/x")]), { reason: "symlink-loop" });
  });
});

describe("names of entries", () => {
  it("may be absolute, dotted and untidy as long as they stay inside", async () => {
    const { paths } = await merge([file("/a"), file("./b"), file("x/../c"), file("d//e/"), file("/./f/.")]);
    assert.deepEqual(paths, ["a", "b", "c", "d", "d/e", "f"]);
  });

  it("are refused when they lead out of the root", async () => {
    for (const path of ["../x", "/../x", "a/../../x", "..", "./../etc/passwd", "../.wh.x"]) {
      const expected = { code: 3, reason: "path-escape", message: new RegExp(path.replaceAll(".", "\\.")) };
      await assert.rejects(merge([file(path)]), expected, path);
    }
  });

  it("can't make the root anything but a directory", async () => {
    for (const spec of [file("./"), symlink("/", "x"), { ...file("."), path: "" }]) {
      await assert.rejects(merge([spec]), { reason: "bad-root-entry" });
    }
  });

  it("can't be a file and a directory in one layer", async () => {
    await assert.rejects(merge([file("a"), file("a/b")]), {
      reason: "parent-not-directory",
      message: /"a\/b"|"a"/,
    });
  });
});

describe("attributes of entries", () => {
  const full: AclEntry[] = [
    { tag: "userObj", permissions: 6 },
    { tag: "user", permissions: 7, id: 1 },
    { tag: "groupObj", permissions: 4 },
    { tag: "mask", permissions: 5 },
    { tag: "other", permissions: 1 },
  ];
  const acl = aclValue(full);
  const ACCESS = "system.posix_acl_access";

  it("give symlinks the mode that Linux shows", async () => {
    assert.equal((await merge([{ ...symlink("l", "x"), mode: 0o600 }])).at("l").mode, "777");
  });

  it("keep what Linux can hold and leave the rest out", async () => {
    const xattrs = {
      "user.u": "1",
      "trusted.t": "1",
      "security.capability": "1",
      "security.selinux": "1",
      "system.nfs4_acl": "1",
      "system.other": "1",
      "nonsense.x": "1",
      nonsense: "1",
      "user.": "1",
    };
    const { at } = await merge([
      { ...file("f"), xattrs },
      { ...symlink("l", "x"), xattrs },
      { path: "p", type: "fifo", xattrs },
    ]);
    assert.deepEqual(Object.keys(at("f").xattrs), ["security.capability", "trusted.t", "user.u"]);
    assert.deepEqual(Object.keys(at("l").xattrs), ["security.capability", "trusted.t"]);
    assert.deepEqual(Object.keys(at("p").xattrs), ["security.capability", "trusted.t"]);
  });

  it("let an access list set the mode", async () => {
    const { at } = await merge([{ ...file("f"), mode: 0o4777, xattrs: { [ACCESS]: acl } }]);
    assert.deepEqual([at("f").mode, at("f").xattrs], ["4651", { [ACCESS]: acl.toString("hex") }]);
  });

  it("drop a list that says no more than the mode, and an empty one", async () => {
    const plain = aclValue(full.filter(({ tag }) => tag !== "user" && tag !== "mask"));
    const { at } = await merge([
      { ...file("plain"), mode: 0o777, xattrs: { [ACCESS]: plain } },
      { ...file("empty"), mode: 0o600, xattrs: { [ACCESS]: aclValue([]) } },
    ]);
    assert.deepEqual([at("plain").mode, at("plain").xattrs], ["641", {}]);
    assert.deepEqual([at("empty").mode, at("empty").xattrs], ["600", {}]);
  });

  it("keep default lists on directories only", async () => {
    const xattrs = { "system.posix_acl_default": acl };
    const { at } = await merge([folder("d", { xattrs }), { ...file("f"), xattrs }]);
    assert.deepEqual(
      [Object.keys(at("d").xattrs), Object.keys(at("f").xattrs)],
      [["system.posix_acl_default"], []],
    );
    assert.equal(at("d").mode, "755");
  });

  it("are refused with a list that Linux would refuse", async () => {
    const bad = [
      Buffer.from([2, 0, 0]),
      Buffer.from([3, 0, 0, 0]),
      acl.subarray(0, -1),
      aclValue(full.slice(0, 2)),
      aclValue([...full].reverse()),
      aclValue(full.filter(({ tag }) => tag !== "mask")),
      aclValue(full.map((entry) => ({ ...entry, permissions: 9 }))),
    ];
    for (const value of bad) {
      await assert.rejects(
        merge([{ ...file("f"), xattrs: { [ACCESS]: value } }]),
        { reason: "bad-acl" },
        value.toString("hex"),
      );
    }
    assert.equal(ACL_TAG.mask, 16);
  });
});

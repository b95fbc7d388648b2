import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { hasReason, KilnError } from "../base/errors.js";
import { encodeTarHeader, paddingOf, type TarEntry } from "../base/tar-format.js";
import { TAR_END } from "../base/tar-stream.js";
import { type ExtractOptions, extractTree } from "./tree-extract.js";
import { packTree } from "./tree-pack.js";

let scratch: string;
let target: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "extract-"));
  target = join(scratch, "target");
  await mkdir(target);
  await writeFile(join(scratch, "outside"), "untouched");
});

afterEach(async () => {
  assert.equal(await readFile(join(scratch, "outside"), "utf8"), "untouched");
  assert.deepEqual(
    (await readdir(scratch)).filter((name) => !["outside", "target", "source"].includes(name)),
    [],
  );
  await rm(scratch, { recursive: true });
});

type Member = Partial<Omit<TarEntry, "size">> & { name: string; content?: string };

async function* archive(members: readonly Member[]): AsyncGenerator<Uint8Array> {
  for (const { content = "", ...more } of members) {
    const size = Buffer.byteLength(content);
    yield encodeTarHeader({
      type: "file",
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtimeMs: 5000,
      linkName: "",
      ...more,
      size,
    });
    yield Buffer.from(content);
    yield Buffer.alloc(paddingOf(size));
  }
  yield TAR_END;
}

function extract(members: readonly Member[], options: ExtractOptions = {}) {
  return extractTree(archive(members), target, options);
}

const isUnsafe = (error: unknown) => hasReason(error, "unsafe-path");

describe("extractTree", () => {
  it("makes files, directories and links with mode and time", async () => {
    const result = await extract([
      { name: "d", type: "directory", mode: 0o555 },
      { name: "d/f", content: "hello", mode: 0o640 },
      { name: "d/s", type: "symlink", linkName: "../../anywhere" },
      { name: "h", type: "hardlink", linkName: "d/f" },
    ]);
    assert.deepEqual(result, { entries: 4, bytes: 5 });
    const file = await stat(join(target, "d/f"));
    assert.equal(file.mode & 0o7777, 0o640);
    assert.equal(file.mtimeMs, 5000);
    assert.equal(file.nlink, 2);
    assert.equal((await stat(join(target, "d"))).mode & 0o7777, 0o555);
    assert.equal((await stat(join(target, "d"))).mtimeMs, 5000);
    assert.equal(await readlink(join(target, "d/s")), "../../anywhere");
    // So that one who is not root can remove it.
    await chmod(join(target, "d"), 0o755);
  });

  it("keeps times before 1970, whole and in parts", async () => {
    const times = [-315_619_200_000, -315_619_200_250, -1.5];
    await extract([
      ...times.map((mtimeMs, i) => ({ name: `f${i}`, mtimeMs })),
      { name: "link", type: "symlink", linkName: "x", mtimeMs: -1500 },
      { name: "dir", type: "directory", mode: 0o755, mtimeMs: -1500 },
    ]);
    for (const [i, mtimeMs] of times.entries()) {
      assert.equal((await stat(join(target, `f${i}`))).mtimeMs, mtimeMs);
    }
    assert.equal((await lstat(join(target, "link"))).mtimeMs, -1500);
    assert.equal((await stat(join(target, "dir"))).mtimeMs, -1500);
  });

  it("refuses a path that is too deep for Linux in a few words", async () => {
    const deep = Array.from({ length: 20_000 }, () => "d").join("/");
    for (const type of ["file", "directory"] as const) {
      await assert.rejects(extract([{ name: deep, type, content: "" }]), (error) => {
        assert.ok(error instanceof KilnError && error.message.length < 200, String(error));
        return error.reason === "path-too-long";
      });
    }
  });

  it("refuses names that climb or are absolute", async () => {
    for (const name of ["../outside", "a/../../outside", "/outside", "a/.."]) {
      await assert.rejects(extract([{ name, content: "evil" }]), isUnsafe, name);
    }
  });

  it("does not write through a symbolic link of the archive", async () => {
    const members: Member[] = [
      { name: "link", type: "symlink", linkName: ".." },
      { name: "link/outside", content: "evil" },
    ];
    await assert.rejects(extract(members), isUnsafe);
  });

  it("does not write through a symbolic link that was there before", async () => {
    await symlink("..", join(target, "link"));
    await assert.rejects(extract([{ name: "link/outside", content: "evil" }]), isUnsafe);
  });

  it("replaces a link in a file's place instead of writing to what it names", async () => {
    await symlink("../outside", join(target, "f"));
    await extract([{ name: "f", content: "new" }]);
    assert.ok((await lstat(join(target, "f"))).isFile());
  });

  it("does not make a hard link to something outside, nor through a link", async () => {
    await assert.rejects(extract([{ name: "h", type: "hardlink", linkName: "../outside" }]), isUnsafe);
    const throughLink: Member[] = [
      { name: "link", type: "symlink", linkName: ".." },
      { name: "h", type: "hardlink", linkName: "link/outside" },
    ];
    await assert.rejects(extract(throughLink), isUnsafe);
  });

  it("does not replace a directory by a file", async () => {
    await mkdir(join(target, "d"));
    await assert.rejects(extract([{ name: "d", content: "x" }]), isUnsafe);
  });

  it("does not turn a directory into a link between two entries", async () => {
    const members: Member[] = [
      { name: "d", type: "directory" },
      { name: "d", type: "symlink", linkName: ".." },
      { name: "d/outside", content: "evil" },
    ];
    await assert.rejects(extract(members), isUnsafe);
  });

  it("drops set-user-id bits unless owners are kept", async () => {
    await extract([{ name: "su", mode: 0o4755, content: "x" }]);
    assert.equal((await stat(join(target, "su"))).mode & 0o7777, 0o755);
  });

  it("leaves devices and fifos out, and says so", async () => {
    const skipped: string[] = [];
    await extract(
      [
        { name: "null", type: "char" },
        { name: "pipe", type: "fifo" },
      ],
      {
        onSkip: (path, why) => skipped.push(`${path}: ${why}`),
      },
    );
    assert.deepEqual(skipped, ["null: character devices are not copied", "pipe: FIFOs are not copied"]);
    assert.deepEqual(await readdir(target), []);
  });

  it("never leaves the target, whatever the names", async () => {
    const part = fc.constantFrom("a", "b", "..", ".", "", "link", "outside");
    const name = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
    const member = fc.record({
      name,
      type: fc.constantFrom("file", "directory", "symlink", "hardlink"),
      linkName: fc.oneof(name, fc.constant("../outside"), fc.constant("..")),
      // Whoever is not root must be able to empty the target for the next one.
      mode: fc.constant(0o755),
    }) as fc.Arbitrary<Member>;
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 8 }), async (members) => {
        await rm(target, { recursive: true });
        await mkdir(target);
        await extract(
          members.map((each) => ({ ...each, content: each.type === "file" ? "evil" : "" })),
        ).catch(() => undefined);
        assert.equal(await readFile(join(scratch, "outside"), "utf8"), "untouched");
        assert.deepEqual((await readdir(scratch)).sort(), ["outside", "target"]);
      }),
      { numRuns: 150 },
    );
  });
});

describe("packTree", () => {
  it("packs what extractTree makes again, hard links and odd names included", async () => {
    const source = join(scratch, "source");
    await mkdir(join(source, "sub"), { recursive: true });
    const odd = Buffer.concat([Buffer.from(`${source}/sub/`), Buffer.from([0xff, 0xfe])]);
    await writeFile(odd, "bytes");
    await writeFile(join(source, "f"), "x".repeat(300_000));
    const { link } = await import("node:fs/promises");
    await link(join(source, "f"), join(source, "z"));
    await symlink("nowhere", join(source, "s"));
    await extractTree(packTree(source, { name: "copy" }), target);
    assert.equal(
      await readFile(Buffer.concat([Buffer.from(`${target}/copy/sub/`), Buffer.from([0xff, 0xfe])]), "utf8"),
      "bytes",
    );
    assert.equal((await stat(join(target, "copy/f"))).nlink, 2);
    assert.equal(await readlink(join(target, "copy/s")), "nowhere");
  });

  it("refuses a tree that is deeper than Linux has paths for in a few words", async () => {
    const source = join(scratch, "source");
    await mkdir(source);
    const dig = "for (let i = 0; i < 5000; i++) { fs.mkdirSync('d'); process.chdir('d'); }";
    execFileSync(process.execPath, ["-e", dig], { cwd: source });
    const packing = async () => {
      for await (const _ of packTree(source, { name: "copy" }));
    };
    await assert.rejects(packing, (error) => {
      assert.ok(error instanceof KilnError && error.message.length < 200, String(error));
      return error.reason === "path-too-long";
    });
    execFileSync("rm", ["-rf", source]);
  });

  it("packs the contents alone where it has no name", async () => {
    const source = join(scratch, "source");
    await mkdir(source);
    await writeFile(join(source, "a"), "1");
    await extractTree(packTree(source, { name: undefined }), target);
    assert.deepEqual(await readdir(target), ["a"]);
  });
});

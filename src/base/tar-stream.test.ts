import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { hasReason, KilnError } from "./errors.js";
import { encodeTarHeader, paddingOf, parseTarHeader, type TarEntry } from "./tar-format.js";
import { readTar, renameTar, TAR_END } from "./tar-stream.js";

function archiveOf(members: readonly (Partial<TarEntry> & { name: string; content?: Uint8Array })[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const { content = Buffer.alloc(0), ...more } of members) {
    const entry: TarEntry = {
      type: "file",
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtimeMs: 0,
      linkName: "",
      size: content.byteLength,
      ...more,
    };
    parts.push(encodeTarHeader(entry), content, Buffer.alloc(paddingOf(content.byteLength)));
  }
  return Buffer.concat([...parts, TAR_END]);
}

async function* chunked(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(bytes: Buffer, chunk = 100): Promise<(TarEntry & { content: string })[]> {
  const out: (TarEntry & { content: string })[] = [];
  for await (const { entry, data } of readTar(chunked(bytes, chunk))) {
    const parts: Uint8Array[] = [];
    for await (const part of data) parts.push(part);
    out.push({ ...entry, content: Buffer.concat(parts).toString("latin1") });
  }
  return out;
}

/** A header with a field in base-256, as GNU tar writes what octal can't hold. */
function withBase256(header: Buffer, field: { at: number; width: number }, value: number): Buffer {
  const block = Buffer.from(header);
  let rest = BigInt.asUintN(8 * field.width, BigInt(value));
  for (let at = field.at + field.width - 1; at >= field.at; at--, rest >>= 8n)
    block[at] = Number(rest & 0xffn);
  block[field.at] = value < 0 ? 0xff : 0x80;
  return summed(block);
}

/** With the right checksum. */
function summed(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

const isDamage = (error: unknown) => hasReason(error, "bad-archive");

describe("tar stream", () => {
  it("reads back every field that was written", async () => {
    const name = fc
      .array(fc.stringMatching(/^[\x21-\x2e\x30-\xff]{1,60}$/), { minLength: 1, maxLength: 6 })
      .map((parts) => parts.join("/"));
    const entry = fc.record({
      name,
      mode: fc.integer({ min: 0, max: 0o7777 }),
      uid: fc.integer({ min: 0, max: 2 ** 31 }),
      gid: fc.integer({ min: 0, max: 2 ** 31 }),
      mtimeMs: fc.integer({ min: -(10 ** 12), max: 10 ** 13 }),
      content: fc.uint8Array({ maxLength: 1500 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 5 }),
        fc.integer({ min: 1, max: 2000 }),
        async (sent, chunk) => {
          const got = await readAll(archiveOf(sent), chunk);
          assert.deepEqual(
            got.map(({ name, mode, uid, gid, mtimeMs, content }) => ({
              name,
              mode,
              uid,
              gid,
              mtimeMs,
              content,
            })),
            sent.map((each) => ({ ...each, content: Buffer.from(each.content).toString("latin1") })),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it("keeps times at and beyond the ends of the header's field", async () => {
    const ends = [(8 ** 11 - 1) * 1000, 8 ** 11 * 1000, 8_593_750_000_000];
    const times = [-315_619_200_250, -1500.000001, -1000, -999.999, -0.5, 0, 999.999, ...ends].map(
      (ms) => Math.round(ms * 1000) / 1000,
    );
    const got = await readAll(archiveOf(times.map((mtimeMs, i) => ({ name: `f${i}`, mtimeMs }))), 512);
    assert.deepEqual(
      got.map(({ mtimeMs }) => mtimeMs),
      times,
    );
  });

  it("passes over data that the reader leaves", async () => {
    const bytes = archiveOf([{ name: "big", content: Buffer.alloc(5000, 1) }, { name: "next" }]);
    const names: string[] = [];
    for await (const { entry } of readTar(chunked(bytes, 333))) names.push(entry.name);
    assert.deepEqual(names, ["big", "next"]);
  });

  it("writes what GNU tar reads", () => {
    const directory = mkdtempSync(join(tmpdir(), "tar-"));
    const long = `${"d".repeat(120)}/${"n".repeat(90)}`;
    const file = join(directory, "a.tar");
    const link = { name: "s", type: "symlink", linkName: "t".repeat(150) } as const;
    writeFileSync(file, archiveOf([{ name: long, content: Buffer.from("hi"), mtimeMs: 1500 }, link]));
    const listing = execFileSync("tar", ["-tvf", file, "--full-time", "--utc"], { encoding: "utf8" });
    rmSync(directory, { recursive: true });
    const [first = "", second = ""] = listing.split("\n");
    assert.ok(first.endsWith(long) && first.includes("1970-01-01 00:00:01.5"), first);
    assert.ok(second.endsWith(`s -> ${link.linkName}`), second);
  });

  it("reads GNU tar's own long names and types", async () => {
    const directory = mkdtempSync(join(tmpdir(), "tar-"));
    const long = "n".repeat(200);
    writeFileSync(join(directory, long), "content");
    execFileSync("ln", ["-s", "x".repeat(150), join(directory, "link")]);
    execFileSync("ln", [join(directory, long), join(directory, "zhard")]);
    const bytes = execFileSync("tar", [
      "-C",
      directory,
      "--format=gnu",
      "--sort=name",
      "-cf",
      "-",
      "link",
      long,
      "zhard",
    ]);
    rmSync(directory, { recursive: true });
    const [link, file, hard] = await readAll(bytes);
    assert.deepEqual([link?.type, link?.linkName], ["symlink", "x".repeat(150)]);
    assert.deepEqual([file?.name, file?.content], [long, "content"]);
    assert.deepEqual([hard?.type, hard?.linkName], ["hardlink", long]);
  });

  it("refuses endless extended headers before one entry, and takes them before many", async () => {
    const member = { type: "file", mode: 0, uid: 0, gid: 0, size: 0, mtimeMs: 0 } as const;
    const long = encodeTarHeader({ ...member, name: "n".repeat(1000), linkName: "" });
    const pax = long.subarray(0, long.length - 512);
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield pax;
    }
    await assert.rejects(async () => {
      for await (const _ of readTar(endless()));
    }, isDamage);
    const many = Buffer.concat([...Array.from({ length: 5000 }, () => long), TAR_END]);
    assert.equal((await readAll(many, 65_536)).length, 5000);
  });

  it("refuses a damaged checksum, a cut archive and an oversized extension", async () => {
    const whole = archiveOf([{ name: "a", content: Buffer.alloc(700) }]);
    const flipped = Buffer.from(whole);
    flipped[0] = 0x62;
    await assert.rejects(readAll(flipped), isDamage);
    await assert.rejects(readAll(whole.subarray(0, 900)), isDamage);
    await assert.rejects(readAll(whole.subarray(0, 300)), isDamage);
    const huge = encodeTarHeader({
      name: "x",
      type: "file",
      mode: 0,
      uid: 0,
      gid: 0,
      size: 2 ** 30,
      mtimeMs: 0,
      linkName: "",
    });
    huge.write("x", 156);
    await assert.rejects(readAll(huge), isDamage);
  });

  it("takes negative times in base-256, and no other negative number", async () => {
    const plain = archiveOf([{ name: "f" }]).subarray(0, 512);
    const mtime = { at: 136, width: 12 };
    const [entry] = await readAll(Buffer.concat([withBase256(plain, mtime, -5), TAR_END]));
    assert.equal(entry?.mtimeMs, -5000);
    const fields = { uid: { at: 108, width: 8 }, gid: { at: 116, width: 8 }, size: { at: 124, width: 12 } };
    const extension = Buffer.from(plain);
    extension.write("x", 156, "latin1");
    for (const [name, field] of Object.entries(fields)) {
      for (const value of [-1, -5, -(2 ** 52)]) {
        const bytes = withBase256(plain, field, value);
        assert.throws(() => parseTarHeader(bytes), isDamage, `${name} ${value}`);
        await assert.rejects(
          readAll(withBase256(extension, field, value)),
          isDamage,
          `${name} ${value} of x`,
        );
      }
    }
  });

  it("answers any bytes with entries or a KilnError", async () => {
    const start = archiveOf([{ name: "n".repeat(150), content: Buffer.from("x"), uid: 2 ** 30 }]);
    const damage = fc.array(fc.tuple(fc.nat(start.length - 1), fc.nat(255)), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(damage, fc.nat(start.length), async (changes, end) => {
        const bytes = Buffer.from(start);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          await readAll(bytes.subarray(0, end));
        } catch (error) {
          assert.ok(error instanceof KilnError, String(error));
        }
      }),
    );
  });

  it("keeps attributes, device numbers and times of what it renames", async () => {
    const blank = { mode: 0o600, uid: 7, gid: 8, size: 0, mtimeMs: 0, linkName: "" } as const;
    const node = encodeTarHeader({ ...blank, name: "old/null", type: "char" });
    node.write("0000001\0", 329, "latin1");
    node.write("0000003\0", 337, "latin1");
    node.write("p".repeat(20), 345, "latin1"); // a prefix: the old name's front part
    const file = encodeTarHeader({ ...blank, name: `old/${"n".repeat(120)}`, type: "file", size: 2 });
    const records = ["path=old/short", "SCHILY.xattr.user.a=\xff\0b", "mtime=1.123456789"];
    const body = records.map((record) => `${record.length + 4} ${record}\n`).join("");
    const extension = encodeTarHeader({ ...blank, name: "x", type: "file", size: body.length });
    extension.write("x", 156, "latin1");
    const plain = file.subarray(file.length - 512);
    const pad = (text: string) => Buffer.from(text.padEnd(512, "\0"), "latin1");
    const bytes = Buffer.concat([summed(node), summed(extension), pad(body), plain, pad("hi"), TAR_END]);
    const parts: Uint8Array[] = [];
    const long = `new/${"m".repeat(110)}`;
    const rename = (name: string) => (name.endsWith("null") ? "new/null" : long);
    for await (const part of renameTar(chunked(bytes, 100), rename)) parts.push(part);
    const seen: unknown[] = [];
    for await (const { entry, data, header, pax } of readTar(chunked(Buffer.concat(parts), 512))) {
      for await (const chunk of data) seen.push(Buffer.from(chunk).toString());
      const numbers = header.block.toString("latin1", 329, 345);
      seen.push(entry.name, entry.type, entry.uid, numbers, pax.get("SCHILY.xattr.user.a"), pax.get("mtime"));
    }
    assert.deepEqual(seen, [
      ...["new/null", "char", 7, "0000001\x000000003\0", undefined, undefined],
      ...["hi", long, "file", 7, "0000000\x000000000\0", "\xff\0b", "1.123456789"],
    ]);
  });

  it("renames entries and the targets of hard links", async () => {
    const bytes = archiveOf([
      { name: "old/a", content: Buffer.from("1") },
      { name: "old/b", type: "hardlink", linkName: "old/a" },
      { name: "old/c", type: "symlink", linkName: "old/a" },
      { name: "drop" },
    ]);
    const parts: Uint8Array[] = [];
    const rename = (name: string) => (name === "drop" ? undefined : name.replace("old", "new"));
    for await (const part of renameTar(chunked(bytes, 100), rename)) parts.push(part);
    const got = await readAll(Buffer.concat(parts));
    assert.deepEqual(
      got.map(({ name, linkName, content }) => [name, linkName, content]),
      [
        ["new/a", "", "1"],
        ["new/b", "new/a", ""],
        ["new/c", "old/a", ""],
      ],
    );
  });
});

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import {
  makeBzImage,
  makeModule,
  makeVmlinux,
  packLz4Legacy,
  withSize,
} from "../../test/fixtures/made-up-kernels.js";
import { KilnError } from "../base/errors.js";
import { readBootImage } from "./vmlinux.js";

const VMLINUX = makeVmlinux({ release: "6.1.0-56-cloud-amd64" });

function packXz(data: Buffer, ...args: string[]): Buffer {
  const result = spawnSync("xz", ["--stdout", ...args], { input: data, maxBuffer: 64 * 1024 * 1024 });
  assert.equal(result.status, 0, "xz packs");
  return result.stdout;
}

/** A zstd frame of raw blocks (RFC 8878, 3.1.1): Node 20 can't pack. */
function packZstd(data: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58])];
  const step = 100_000;
  for (let at = 0; at < data.length; at += step) {
    const piece = data.subarray(at, at + step);
    const header = Buffer.alloc(3);
    header.writeUIntLE((piece.length << 3) | (at + step >= data.length ? 1 : 0), 0, 3);
    parts.push(header, piece);
  }
  return Buffer.concat(parts);
}

/** What readBootImage says against a file. */
async function refusal(file: Buffer): Promise<string> {
  try {
    await readBootImage(file);
  } catch (error) {
    assert.ok(error instanceof KilnError && error.reason === "invalid-kernel", String(error));
    assert.ok(error.hint !== undefined);
    return error.message;
  }
  return assert.fail("it was taken for a kernel");
}

describe("reading a kernel", () => {
  it("takes an ELF vmlinux as it is", async () => {
    const boot = await readBootImage(VMLINUX);
    assert.deepEqual(boot.image, VMLINUX);
    assert.equal(boot.release, "6.1.0-56-cloud-amd64");
    assert.equal(boot.architecture, "amd64");
    assert.equal(boot.pvh, true);
  });

  it("says when there is no PVH entry", async () => {
    assert.equal((await readBootImage(makeVmlinux({ pvh: false }))).pvh, false);
  });

  const payloads: [string, Buffer][] = [
    ["LZ4", withSize(packLz4Legacy(VMLINUX, 65_536), VMLINUX.length)],
    ["gzip", gzipSync(VMLINUX)],
    ["zstd", withSize(packZstd(VMLINUX), VMLINUX.length)],
    ["xz", withSize(packXz(VMLINUX, "--check=crc32", "--x86", "--lzma2=dict=1MiB"), VMLINUX.length)],
    ["lzma", withSize(packXz(VMLINUX, "--format=lzma"), VMLINUX.length)],
  ];
  for (const [name, payload] of payloads) {
    it(`unpacks a bzImage whose payload is ${name}`, async () => {
      assert.deepEqual((await readBootImage(makeBzImage(payload))).image, VMLINUX);
    });

    it(`refuses a bzImage whose ${name} payload is cut off`, async () => {
      await refusal(makeBzImage(payload.subarray(0, payload.length - 2000)));
    });
  }

  it("takes a vmlinux that is packed as a whole", async () => {
    assert.deepEqual((await readBootImage(gzipSync(VMLINUX))).image, VMLINUX);
  });

  it("takes an arm64 Image", async () => {
    const image = Buffer.alloc(300 * 1024);
    image.write("ARM\x64", 56, "latin1");
    image.write("Linux version 6.12.9 (x)", 9000, "latin1");
    const boot = await readBootImage(image);
    assert.deepEqual([boot.architecture, boot.release, boot.pvh], ["arm64", "6.12.9", false]);
  });
});

describe("refusing what is no kernel", () => {
  const elf32 = Buffer.from(VMLINUX);
  elf32[4] = 1;
  const arm = Buffer.from(VMLINUX);
  arm.writeUInt16LE(183, 18);
  const noLinux = Buffer.from(VMLINUX);
  noLinux.fill(0, 8192, 9000);
  const cases: [string, Buffer, RegExp][] = [
    ["an empty file", Buffer.alloc(0), /the file is empty/],
    ["a script", Buffer.from("#!/bin/sh\necho\n"), /it is a script/],
    ["text", Buffer.from("hello, world\n".repeat(50)), /it is text/],
    ["a zip", Buffer.from("504b0304aabbccdd", "hex"), /it is a zip archive/],
    ["a qcow2", Buffer.from("514649fb00000003", "hex"), /it is a qcow2 disk image/],
    ["gzip of text", gzipSync("hello"), /it is gzip data, and inside: it is text/],
    ["damaged gzip", gzipSync(VMLINUX).subarray(0, 5000), /damaged/],
    ["bzip2 data", Buffer.from("BZh91AY&SY12345678"), /bzip2, which kiln does not unpack/],
    ["a module", makeModule("dm_mod"), /it is an ELF object file/],
    ["a 32-bit ELF", elf32, /it is a 32-bit/],
    ["an arm64 ELF", arm, /it is an arm64 ELF/],
    ["an ELF program", noLinux, /no Linux kernel/],
    ["a vmlinux cut off", VMLINUX.subarray(0, 280 * 1024), /it is cut off/],
    ["a bzImage cut off", makeBzImage(gzipSync(VMLINUX)).subarray(0, 4000), /the bzImage is cut off/],
    ["an old boot protocol", makeBzImage(gzipSync(VMLINUX), 0x0207), /protocol 2.7 is older than 2.08/],
    ["an unknown payload", makeBzImage(Buffer.alloc(5000, 1)), /packed in an unknown way/],
    ["a payload of no ELF", makeBzImage(gzipSync(Buffer.alloc(9999))), /its payload is no ELF/],
    ["a payload that claims 4 GB", makeBzImage(withSize(packLz4Legacy(VMLINUX), 0xf0000000)), /claims to/],
    ["a wrong size", makeBzImage(withSize(packLz4Legacy(VMLINUX), VMLINUX.length + 1)), /announced/],
  ];
  for (const [what, file, says] of cases) {
    it(`says what ${what} is`, async () => {
      assert.match(await refusal(file), says);
    });
  }

  it("stops a gzip bomb at the size its trailer announces", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    bomb.writeUInt32LE(1024 * 1024, bomb.length - 4);
    assert.match(await refusal(makeBzImage(bomb)), /damaged or larger than/);
  });

  it("throws nothing but invalid-kernel for any change to a kernel's first kilobytes", async () => {
    const good = makeBzImage(withSize(packLz4Legacy(VMLINUX), VMLINUX.length));
    const change = fc.tuple(fc.nat(2500), fc.uint8Array({ minLength: 1, maxLength: 8 }));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(good, VMLINUX),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        async (file, changes) => {
          const bad = Buffer.from(file);
          for (const [at, bytes] of changes) bad.set(bytes, at);
          try {
            assert.ok((await readBootImage(bad)).release.length > 0);
          } catch (error) {
            assert.ok(error instanceof KilnError && error.reason === "invalid-kernel", String(error));
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

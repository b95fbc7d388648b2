import "../base/runtime.js";
import assert from "node:assert/strict";
import { mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { damageFile, UNREADABLE } from "../../test/fixtures/damage.js";
import { hasReason } from "../base/errors.js";
import {
  COW_CHUNK_BYTES,
  checkCow,
  cowRecordPath,
  cowUsage,
  createCow,
  parseCowRecord,
  planCowSize,
  removeCow,
} from "./cow.js";

const GIB = 2 ** 30;
const BASE = { baseDigest: "sha256:aaaa", baseSizeBytes: 64 * GIB };

let directory = "";
let path = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-cow-"));
});
after(() => rm(directory, { recursive: true, force: true }));
beforeEach(async () => {
  path = join(directory, "vm.cow");
  await removeCow(path);
});

describe("planCowSize", () => {
  it("has room for every chunk of the base, its exception table and 2 %", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 16 * 2 ** 40 }), (bytes) => {
        const chunks = Math.ceil(bytes / COW_CHUNK_BYTES);
        const tables = Math.ceil(chunks / (COW_CHUNK_BYTES / 16));
        assert.ok(planCowSize(bytes) >= (1 + chunks + tables) * COW_CHUNK_BYTES);
        assert.ok(planCowSize(bytes) >= bytes * 1.02);
        assert.equal(planCowSize(bytes) % COW_CHUNK_BYTES, 0);
      }),
    );
  });
});

describe("createCow", () => {
  it("makes a private sparse file that reads as zeros", async () => {
    const record = await createCow(path, BASE);
    const { mode, size, blocks } = await stat(path);
    assert.equal(mode & 0o7777, 0o600);
    assert.equal(size, record.sizeBytes);
    assert.equal(blocks, 0);
    assert.deepEqual(await readFirst(path, 512), Buffer.alloc(512));
  });

  it("leaves an existing file alone", async () => {
    await writeFile(path, "precious");
    await assert.rejects(createCow(path, BASE), (error) => hasReason(error, "file-exists"));
    assert.equal(await readFile(path, "utf8"), "precious");
  });

  it("leaves nothing behind where it fails", async () => {
    const missing = join(directory, "no", "vm.cow");
    await assert.rejects(createCow(missing, BASE), (error) => hasReason(error, "no-such-file"));
    assert.deepEqual(await readdir(directory), []);
  });
});

describe("checkCow", () => {
  it("accepts the base that the cow was made on", async () => {
    const record = await createCow(path, BASE);
    assert.deepEqual(await checkCow(path, BASE), record);
  });

  it("refuses another base", async () => {
    await createCow(path, BASE);
    const other = { ...BASE, baseDigest: "sha256:bbbb" };
    await assert.rejects(checkCow(path, other), (error) => hasReason(error, "base-mismatch"));
  });

  it("refuses a base of another size", async () => {
    await createCow(path, BASE);
    const other = { ...BASE, baseSizeBytes: 32 * GIB };
    await assert.rejects(checkCow(path, other), (error) => hasReason(error, "base-mismatch"));
  });

  it("goes by the VM's word where the record is lost, and writes it anew", async () => {
    const record = await createCow(path, BASE);
    for (const damage of UNREADABLE) {
      await damageFile(cowRecordPath(path), damage);
      assert.deepEqual(await checkCow(path, BASE), record, damage.what);
      assert.deepEqual(JSON.parse(await readFile(cowRecordPath(path), "utf8")), record, damage.what);
      await rm(`${cowRecordPath(path)}.damaged`, { recursive: true, force: true });
    }
  });

  it("goes by the copy that earlier releases kept", async () => {
    const record = await createCow(path, BASE);
    await writeFile(`${cowRecordPath(path)}.bak`, JSON.stringify({ ...record, baseDigest: "sha256:bbbb" }));
    await writeFile(cowRecordPath(path), "{");
    await assert.rejects(checkCow(path, BASE), (error) => hasReason(error, "base-mismatch"));
  });

  it("refuses a cow without records that is too short for the base", async () => {
    await createCow(path, { ...BASE, baseSizeBytes: GIB });
    await rm(cowRecordPath(path));
    await assert.rejects(checkCow(path, BASE), (error) => hasReason(error, "cow-damaged"));
  });

  it("refuses a cow that was cut short", async () => {
    await createCow(path, BASE);
    await truncate(path, GIB);
    await assert.rejects(checkCow(path, BASE), (error) => hasReason(error, "cow-damaged"));
  });

  it("refuses where there is none", async () => {
    await assert.rejects(checkCow(path, BASE), (error) => hasReason(error, "cow-missing"));
  });
});

describe("cowUsage", () => {
  it("tells what is allocated, not what is offered", async () => {
    const { sizeBytes } = await createCow(path, BASE);
    const file = await open(path, "r+");
    await file.write(Buffer.alloc(10_000, 1), 0, 10_000, GIB);
    await file.close();
    const usage = await cowUsage(path);
    assert.equal(usage.sizeBytes, sizeBytes);
    assert.ok(usage.allocatedBytes > 0 && usage.allocatedBytes < 2 ** 20);
  });

  it("is nothing where there is none", async () => {
    assert.deepEqual(await cowUsage(path), { allocatedBytes: 0, sizeBytes: 0 });
  });
});

describe("removeCow", () => {
  it("removes cow and record, also when they are gone already", async () => {
    await createCow(path, BASE);
    await removeCow(path);
    await removeCow(path);
    assert.deepEqual(await readdir(directory), []);
  });
});

describe("parseCowRecord", () => {
  it("takes nothing but a record, and never throws", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        assert.equal(parseCowRecord(json), undefined);
      }),
    );
  });
});

async function readFirst(file: string, length: number): Promise<Buffer> {
  const handle = await open(file);
  try {
    return (await handle.read(Buffer.alloc(length, 1), 0, length, 0)).buffer;
  } finally {
    await handle.close();
  }
}

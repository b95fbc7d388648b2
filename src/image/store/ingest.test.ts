import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { sha256 } from "../../../test/fixtures/registry/tiny-image.js";
import { exists } from "../../base/files.js";
import { Ingest } from "./ingest.js";

describe("Ingest", () => {
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-ingest-"));
    path = join(directory, "x.part");
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("publishes what was appended, in chunks of any size", async () => {
    const sizes = fc.array(
      fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 200_000, max: 700_000 })),
      {
        maxLength: 8,
      },
    );
    await fc.assert(
      fc.asyncProperty(sizes, async (lengths) => {
        const chunks = lengths.map((length) => randomBytes(length));
        const ingest = await Ingest.create(path);
        for (const chunk of chunks) {
          await ingest.append(chunk);
          chunk.fill(0); // the caller may use its buffer again
        }
        const digest = ingest.digest();
        await ingest.publish(join(directory, "done"));
        const content = await readFile(join(directory, "done"));
        assert.equal(content.length, ingest.offset);
        assert.equal(sha256(content), digest);
      }),
      { numRuns: 25 },
    );
  });
  it("goes on where a kept file ends", async () => {
    const bytes = randomBytes(900_000);
    const first = await Ingest.create(path);
    await first.append(bytes.subarray(0, 400_000));
    await first.keep();
    const second = await Ingest.resume(path, bytes.length);
    assert.equal(second.offset, 400_000);
    await second.append(bytes.subarray(400_000));
    assert.equal(second.digest(), sha256(bytes));
    await second.publish(join(directory, "done"));
    assert.deepEqual(await readFile(join(directory, "done")), bytes);
  });
  it("begins anew where the kept file is longer than the blob", async () => {
    await writeFile(path, "too long");
    const ingest = await Ingest.resume(path, 3);
    assert.equal(ingest.offset, 0);
    await ingest.discard();
  });
  it("forgets everything on restart", async () => {
    const ingest = await Ingest.create(path);
    await ingest.append(randomBytes(600_000));
    await ingest.append(Buffer.from("more"));
    await ingest.restart();
    await ingest.append(Buffer.from("ab"));
    assert.equal(ingest.digest(), sha256("ab"));
    await ingest.publish(join(directory, "done"));
    assert.equal(await readFile(join(directory, "done"), "utf8"), "ab");
  });
  it("leaves nothing when it is discarded, twice if need be", async () => {
    const ingest = await Ingest.create(path);
    await ingest.append(Buffer.from("x"));
    await ingest.discard();
    await ingest.discard();
    assert.equal(await exists(path), false);
  });
  it("makes private files", async () => {
    const ingest = await Ingest.create(path);
    await ingest.keep();
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });
  it("says which file it could not write", async () => {
    await assert.rejects(Ingest.create(join(directory, "no", "where")), {
      name: "KilnError",
      message: /no\/where/,
    });
  });
});

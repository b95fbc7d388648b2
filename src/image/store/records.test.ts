import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { damageFile, OTHER_RELEASE } from "../../../test/fixtures/damage.js";
import { silentLogger } from "../../base/log.js";
import { type ImageRecord, ImageRecords } from "./records.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "kiln-records-"));
});
afterEach(() => rm(root, { recursive: true }));

async function open(): Promise<ImageRecords> {
  const records = new ImageRecords(root, silentLogger);
  await records.open(async () => true);
  return records;
}

const digestOf = (digit: string) => `sha256:${digit.repeat(64)}`;

/** The same image each time, in layers of another compression. */
function imageOf(compression: "gzip" | "zstd"): ImageRecord {
  const run = { env: [], entrypoint: [], cmd: [], workdir: "", user: "", labels: {}, exposedPorts: [] };
  const layer = { digest: digestOf(compression === "gzip" ? "3" : "4"), sizeBytes: 1, diffId: digestOf("5") };
  return {
    ...{ id: digestOf("1"), manifestDigest: digestOf("2"), sizeBytes: 1, createdAt: "" },
    platform: { os: "linux", architecture: "amd64" },
    run: { ...run, volumes: [], stopSignal: "" },
    layers: [{ ...layer, compression }],
  };
}

describe("an image's record", () => {
  it("made anew keeps what another release has put into it, but for what is in its layers", async () => {
    const [unknown] = OTHER_RELEASE;
    assert.ok(unknown);
    await (await open()).add({ ...imageOf("gzip"), verified: true }, ["one"], []);
    const file = join(root, "images", `${"1".repeat(64)}.json`);
    await damageFile(file, unknown, true);
    const records = await open();
    await records.add(imageOf("zstd"), ["two"], []);
    const written = JSON.parse(await readFile(file, "utf8"));
    assert.deepEqual([written.ofTomorrow, written.run.ofTomorrow], ["kept", "kept"]);
    assert.deepEqual([written.layers, written.verified], [imageOf("zstd").layers, undefined]);
    assert.deepEqual(records.get(digestOf("1"))?.names, ["one", "two"]);
    assert.equal((await open()).record(digestOf("1"))?.layers[0]?.compression, "zstd");
  });
});

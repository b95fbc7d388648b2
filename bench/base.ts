// Layers to a base: one gzip layer of 500 MB, as kiln builds it (a process of its own, both digests checked, fsync),
// against `gzip -dc` of the same blob and against `tar -x` + `mkfs.ext4 -d`.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createBaseBuilder } from "../src/engine/disks/base-builder.js";
import { debianLayoutDirectory } from "../test/fixtures/assets.js";
import { inTurn, type Row, ratioRow, shell } from "./measure.js";

const ROUNDS = 3;
const DISK_BYTES = 64 * 1024 ** 3;

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

async function readJsonBlob(layout: string, digest: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(blobPath(layout, digest), "utf8")) as Record<string, unknown>;
}

const blobPath = (layout: string, digest: string) => join(layout, "blobs", digest.replace(":", "/"));

async function largestLayer(layout: string): Promise<{ path: string; layer: Descriptor; diffId: string }> {
  const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as { manifests: Descriptor[] };
  const manifest = await readJsonBlob(layout, index.manifests[0]?.digest ?? "");
  const config = await readJsonBlob(layout, (manifest.config as Descriptor).digest);
  const [layer] = manifest.layers as Descriptor[];
  const [diffId] = (config.rootfs as { diff_ids: string[] }).diff_ids;
  if (layer === undefined || diffId === undefined) throw new Error(`${layout} has no layer`);
  return { path: blobPath(layout, layer.digest), layer, diffId };
}

export async function benchBase(scratch: string): Promise<Row[]> {
  const { path, layer, diffId } = await largestLayer(debianLayoutDirectory("bench"));
  const output = join(scratch, "base.ext4");
  const tree = join(scratch, "tree");
  const other = join(scratch, "mkfs.ext4");
  const build = createBaseBuilder();
  const request = {
    layers: [{ path, digest: layer.digest, diffId, sizeBytes: layer.size, compression: "gzip" as const }],
    output,
    diskBytes: DISK_BYTES,
    identity: "ab".repeat(32),
    limits: {},
  };
  let dataBytes = 0;
  const ours = async () => {
    dataBytes = (await build(request, {})).dataBytes;
  };
  const gunzip = () => shell(`gzip -dc ${path} > /dev/null`);
  const unpack = async () => {
    await shell(`mkdir ${tree} && tar -xpzf ${path} -C ${tree}`);
    await shell(`mkfs.ext4 -q -F -d ${tree} ${other} 2g`);
  };
  // Removing what the last one made is nobody's work here, and kiln's fsync must not pay for what others left unwritten.
  const clean = () => shell(`rm -rf ${output} ${tree} ${other} && sync`);
  await gunzip(); // the page cache is warm for all three
  const [, kiln = 0, gzip = 0, , tarMkfs = 0] = await inTurn(ROUNDS, [clean, ours, gunzip, clean, unpack]);
  await clean();
  const what = `${Math.round(dataBytes / 1e6)} MB of files, ${Math.round(layer.size / 1e6)} MB gzip`;
  return [
    ratioRow("layers → base, against `gzip -dc`", 0.85, kiln, gzip, what),
    ratioRow("layers → base, against `tar -x` + `mkfs.ext4 -d`", 0.35, kiln, tarMkfs, what),
  ];
}

// Writes an OCI image layout of one gzip layer (image-spec, image-layout.md) from a root file system tar.

import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, mkdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";

const ARCHITECTURES = { x64: "amd64", arm64: "arm64" };

/**
 * @param {string} directory made here
 * @param {string} tar path of the uncompressed layer
 * @param {{ tag: string, config?: object }} options config: OCI's, e.g. { Cmd: ["bash"] }
 */
export async function writeOciLayout(directory, tar, { tag, config = {} }) {
  mkdirSync(`${directory}/blobs/sha256`, { recursive: true });
  const layer = await writeLayer(directory, tar);
  const image = writeJsonBlob(directory, "application/vnd.oci.image.config.v1+json", {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: "linux",
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      ...config,
    },
    rootfs: { type: "layers", diff_ids: [layer.diffId] },
    history: [{ created_by: "mmdebstrap" }],
  });
  const manifest = writeJsonBlob(directory, "application/vnd.oci.image.manifest.v1+json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: image,
    layers: [layer.descriptor],
  });
  writeFileSync(`${directory}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const named = { ...manifest, annotations: { "org.opencontainers.image.ref.name": tag } };
  writeFileSync(`${directory}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: [named] }));
}

async function writeLayer(directory, tar) {
  const plain = createHash("sha256");
  const packed = createHash("sha256");
  const temp = `${directory}/layer.tmp`;
  await pipeline(
    createReadStream(tar),
    tee(plain),
    createGzip({ level: 6 }),
    tee(packed),
    createWriteStream(temp),
  );
  const digest = packed.digest("hex");
  renameSync(temp, `${directory}/blobs/sha256/${digest}`);
  return {
    diffId: `sha256:${plain.digest("hex")}`,
    descriptor: {
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      digest: `sha256:${digest}`,
      size: statSync(`${directory}/blobs/sha256/${digest}`).size,
    },
  };
}

function tee(hash) {
  const stream = new PassThrough({ highWaterMark: 1024 * 1024 });
  stream.on("data", (chunk) => hash.update(chunk));
  return stream;
}

function writeJsonBlob(directory, mediaType, value) {
  const bytes = Buffer.from(JSON.stringify(value));
  const digest = createHash("sha256").update(bytes).digest("hex");
  writeFileSync(`${directory}/blobs/sha256/${digest}`, bytes);
  return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
}

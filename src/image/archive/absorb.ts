// Reading an image archive (oci-archive, docker-archive) once, front to back, compressed or not: documents stay in
// memory, everything else becomes a leased blob. Names in the archive are only keys of a map here, never paths on disk.

import { posix } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { digestOf } from "../digest.js";
import {
  COMPRESSION_MAGIC_BYTES,
  decompress,
  detectCompression,
  readTarEntries,
  type TarMember,
} from "../layers/index.js";
import type { ContentSource } from "../pull/content.js";
import { ImageReason } from "../reasons.js";
import type { Lease } from "../store/blobs.js";
import type { StoreContext } from "../store/context.js";
import { Ingest } from "../store/ingest.js";
import { type LocalFile, openRegular, readRegular } from "./local-file.js";
import type { LocalPullOptions } from "./options.js";

export interface ArchivedFile {
  readonly digest: string;
  readonly size: number;
}

const MAX_MEMBERS = 20_000;
const MAX_LINKS = 16;
/** Beyond this a file's size is compared with the free space before it is written. */
const CHECK_SPACE_BYTES = 16 * 1024 * 1024;
const DOCUMENTS = new Set(["oci-layout", "index.json", "manifest.json"]);
/** What docker wrote for versions before 1.10: nobody reads it now. */
const LEGACY = /(^|\/)(VERSION|json|repositories)$/;
const LAYOUT_BLOB = /^blobs\/sha256\/([a-f0-9]{64})$/;

/** An archive that has been read: its files lie in the store, by digest, as long as the lease holds. */
export class ArchiveContents {
  readonly #documents = new Map<string, Buffer>();
  readonly #files = new Map<string, ArchivedFile>();
  readonly #links = new Map<string, string>();

  /** One of oci-layout, index.json, manifest.json. */
  document(name: string): Buffer | undefined {
    return this.#documents.get(name);
  }

  /** A file by its name in the archive, links followed; undefined where there is none. */
  file(name: string): ArchivedFile | undefined {
    let at = cleanName(name);
    for (let hops = 0; hops < MAX_LINKS; hops++) {
      const file = this.#files.get(at);
      const target = this.#links.get(at);
      if (file !== undefined || target === undefined) return file;
      at = target;
    }
    return undefined;
  }

  addDocument(name: string, bytes: Buffer): void {
    this.#documents.set(name, bytes);
  }

  addFile(name: string, file: ArchivedFile): void {
    this.#files.set(name, file);
  }

  addLink(name: string, target: string): void {
    this.#links.set(name, target);
  }
}

/**
 * Reads the archive's file.
 *
 * @throws KilnError `invalid-archive`, `digest-mismatch`, `image-too-large`, `host-disk-full`, and the tar reader's
 */
export async function absorbArchive(
  context: StoreContext,
  path: string,
  lease: Lease,
  options: LocalPullOptions,
): Promise<ArchiveContents> {
  await using file = await openRegular(path, options.what);
  const compression = await sniff(file, options.what);
  const raw = withProgress(readRegular(file, options.signal), file.size, options);
  const stream = decompress(raw, compression);
  const contents = new ArchiveContents();
  const budget = { members: 0, bytes: context.limits.imageBytes };
  try {
    for await (const member of readTarEntries(stream)) {
      if (++budget.members > MAX_MEMBERS)
        throw tooLarge(options.what, `it has more than ${MAX_MEMBERS} members`);
      budget.bytes -= member.entry.size;
      if (budget.bytes < 0)
        throw tooLarge(options.what, `it holds more than ${context.limits.imageBytes} bytes`);
      await absorbMember(context, contents, member, lease, options);
    }
  } catch (error) {
    throw KilnError.from(error, options.what);
  } finally {
    await stream.close();
  }
  return contents;
}

async function absorbMember(
  context: StoreContext,
  contents: ArchiveContents,
  { entry, data }: TarMember,
  lease: Lease,
  options: LocalPullOptions,
): Promise<void> {
  const name = cleanName(entry.path);
  if (entry.type === "symlink")
    contents.addLink(name, cleanName(posix.join(posix.dirname(name), entry.linkTarget)));
  if (entry.type === "hardlink") contents.addLink(name, cleanName(entry.linkTarget));
  if (entry.type !== "file" || LEGACY.test(name)) return;
  if (DOCUMENTS.has(name)) {
    contents.addDocument(name, await readDocument(data, context.limits.manifestBytes, name));
    return;
  }
  if (entry.size > context.limits.layerBytes)
    throw tooLarge(options.what, `${JSON.stringify(name)} is too large`);
  if (entry.size > CHECK_SPACE_BYTES) await context.reserveSpace(entry.size, options.what);
  const hex = LAYOUT_BLOB.exec(name)?.[1];
  const expected = hex === undefined ? undefined : `sha256:${hex}`;
  contents.addFile(name, await storeFile(context, data, expected, lease));
}

/** @param expected the digest that its name promises; undefined: whatever it has */
async function storeFile(
  context: StoreContext,
  data: AsyncIterable<Uint8Array>,
  expected: string | undefined,
  lease: Lease,
): Promise<ArchivedFile> {
  const { blobs } = context;
  if (expected !== undefined) {
    await lease.pin(expected);
    const there = await blobs.sizeOf(expected);
    if (there !== undefined) return { digest: expected, size: there };
  }
  const ingest = await Ingest.create(blobs.temporaryPath("archive"));
  try {
    for await (const chunk of data) await ingest.append(chunk);
    const file = { digest: ingest.digest(), size: ingest.offset };
    if (expected !== undefined && file.digest !== expected) {
      throw new KilnError(Code.DataLoss, `blob ${expected} has the digest ${file.digest}`, {
        reason: ImageReason.DigestMismatch,
        hint: "the archive is damaged: make it again",
      });
    }
    await lease.pin(file.digest);
    if ((await blobs.sizeOf(file.digest)) === undefined) await blobs.publish(ingest, file.digest);
    return file;
  } finally {
    await ingest.discard(); // after publishing there is nothing of that name any more
  }
}

async function readDocument(data: AsyncIterable<Uint8Array>, limit: number, name: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of data) {
    size += chunk.length;
    if (size > limit) throw tooLarge(name, `it is larger than ${limit} bytes`);
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}

async function* withProgress(
  chunks: AsyncIterable<Uint8Array>,
  total: number,
  { what, onProgress }: LocalPullOptions,
): AsyncGenerator<Uint8Array> {
  let current = 0;
  for await (const chunk of chunks) {
    yield chunk;
    current += chunk.length;
    onProgress({ id: what, status: "extracting", current, total });
  }
}

async function sniff(file: LocalFile, what: string): Promise<ReturnType<typeof detectCompression>> {
  const first = Buffer.alloc(COMPRESSION_MAGIC_BYTES);
  const { bytesRead } = await file.handle.read(first, 0, first.length, 0);
  try {
    return detectCompression(first.subarray(0, bytesRead));
  } catch (error) {
    throw KilnError.from(error, what);
  }
}

/** One spelling for names of members: no "./", no "//", no "..", not absolute. Only ever a key. */
function cleanName(name: string): string {
  return posix.normalize(`/${name}`).replace(/^\/+|\/+$/g, "");
}

function tooLarge(what: string, why: string): KilnError {
  return new KilnError(Code.ResourceExhausted, `${what}: ${why}`, { reason: ImageReason.ImageTooLarge });
}

/** The content source of an archive whose blobs are in the store already. */
export function absorbedSource(context: StoreContext, what: string): ContentSource {
  const missing = (digest: string) =>
    new KilnError(Code.NotFound, `${what}: blob ${digest} is not in the archive`, {
      reason: ImageReason.InvalidArchive,
      hint: "the archive is incomplete: make it again",
    });
  return {
    what,
    async manifest({ digest, size }) {
      const there = await context.blobs.sizeOf(digest);
      if (there === undefined) throw missing(digest);
      const bytes = await context.blobs.read(digest, context.limits.manifestBytes);
      if (bytes.length === size && digestOf(bytes) === digest) return bytes;
      throw new KilnError(Code.DataLoss, `${what}: manifest ${digest} is not as long as its index says`, {
        reason: ImageReason.SizeMismatch,
      });
    },
    async fetch({ digest }) {
      throw missing(digest);
    },
  };
}

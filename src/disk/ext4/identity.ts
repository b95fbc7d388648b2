// UUID and hash seed of an image, derived from what it is made of: the same image has the same bytes everywhere.

import { createHash } from "node:crypto";
import type { HashSeed } from "./name-hash.js";

export interface Identity {
  /** 16 bytes, a version 8 UUID (RFC 9562): made by a scheme of our own, here SHA-256. */
  readonly uuid: Buffer;
  readonly hashSeed: HashSeed;
}

/** @param source for example the digest of an image; equal strings give equal identities */
export function identityOf(source: string): Identity {
  const digest = createHash("sha256").update(`kiln ext4\0${source}`).digest();
  const uuid = Buffer.from(digest.subarray(0, 16));
  uuid.writeUInt8((uuid.readUInt8(6) & 0x0f) | 0x80, 6);
  uuid.writeUInt8((uuid.readUInt8(8) & 0x3f) | 0x80, 8);
  const seed = (index: number) => digest.readUInt32LE(16 + 4 * index);
  return { uuid, hashSeed: [seed(0), seed(1), seed(2), seed(3)] };
}

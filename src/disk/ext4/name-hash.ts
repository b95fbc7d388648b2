// The hash that orders a large directory (`dir_index`): ext4's "half MD4", the first three MD4 rounds over 32-byte
// pieces of the name, with bytes taken as unsigned (s_flags says so, which makes images equal on every host).

/** The 128-bit seed of s_hash_seed as four words. */
export type HashSeed = readonly [number, number, number, number];

export interface NameHash {
  /** Even; the low bit means "continued from the block before" in an index. */
  readonly hash: number;
  /** Orders names of equal hash. */
  readonly minor: number;
}

/** DX_HASH_HALF_MD4, as stored in s_def_hash_version and in an index root. */
export const HALF_MD4 = 1;

const PIECE = 32;
const ROUND_2 = 0x5a827999;
const ROUND_3 = 0x6ed9eba1;
/** The largest value readdir can't tell from the end of the directory: names that hash to it move one down. */
const END_OF_DIRECTORY = 0xffff_fffe;

/** @param name one char per byte */
export function hashName(name: string, seed: HashSeed): NameHash {
  const state = Int32Array.from(seed);
  const words = new Int32Array(PIECE / 4);
  for (let from = 0; from < name.length; from += PIECE) {
    packPiece(name, from, words);
    mixPiece(state, words);
  }
  const hash = (word(state, 1) & ~1) >>> 0;
  return { hash: hash === END_OF_DIRECTORY ? END_OF_DIRECTORY - 2 : hash, minor: word(state, 2) >>> 0 };
}

/** Big-endian words of the next 32 bytes, padded with the number of bytes that were left. */
function packPiece(name: string, from: number, words: Int32Array): void {
  const left = name.length - from;
  const pad = Math.imul(left & 0xff, 0x01010101);
  const length = Math.min(left, PIECE);
  words.fill(pad);
  let value = pad;
  for (let i = 0; i < length; i++) {
    value = (name.charCodeAt(from + i) & 0xff) + (value << 8);
    if (i % 4 === 3) {
      words[i >> 2] = value;
      value = pad;
    }
  }
  if (length % 4 !== 0) words[length >> 2] = value;
}

function mixPiece(state: Int32Array, x: Int32Array): void {
  let [a, b, c, d] = [word(state, 0), word(state, 1), word(state, 2), word(state, 3)];
  // Round 1: word order 0..7, rotations 3 7 11 19. Four steps return each register to its place.
  for (const i of [0, 4]) {
    a = rotate(a + select(b, c, d) + word(x, i), 3);
    d = rotate(d + select(a, b, c) + word(x, i + 1), 7);
    c = rotate(c + select(d, a, b) + word(x, i + 2), 11);
    b = rotate(b + select(c, d, a) + word(x, i + 3), 19);
  }
  // Round 2: odd words, then even ones; rotations 3 5 9 13.
  for (const i of [1, 0]) {
    a = rotate(a + majority(b, c, d) + word(x, i) + ROUND_2, 3);
    d = rotate(d + majority(a, b, c) + word(x, i + 2) + ROUND_2, 5);
    c = rotate(c + majority(d, a, b) + word(x, i + 4) + ROUND_2, 9);
    b = rotate(b + majority(c, d, a) + word(x, i + 6) + ROUND_2, 13);
  }
  // Round 3: 3 7 2 6, then 1 5 0 4; rotations 3 9 11 15.
  for (const i of [3, 1]) {
    a = rotate(a + (b ^ c ^ d) + word(x, i) + ROUND_3, 3);
    d = rotate(d + (a ^ b ^ c) + word(x, i + 4) + ROUND_3, 9);
    c = rotate(c + (d ^ a ^ b) + word(x, i - 1) + ROUND_3, 11);
    b = rotate(b + (c ^ d ^ a) + word(x, i + 3) + ROUND_3, 15);
  }
  state[0] = word(state, 0) + a;
  state[1] = word(state, 1) + b;
  state[2] = word(state, 2) + c;
  state[3] = word(state, 3) + d;
}

function select(x: number, y: number, z: number): number {
  return z ^ (x & (y ^ z));
}

function majority(x: number, y: number, z: number): number {
  return (x & y) + ((x ^ y) & z);
}

function rotate(value: number, by: number): number {
  return (value << by) | ((value | 0) >>> (32 - by));
}

function word(words: Int32Array, index: number): number {
  return words[index] as number;
}

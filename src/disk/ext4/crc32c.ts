// CRC-32C (Castagnoli), the checksum of ext4's `metadata_csum`: polynomial 0x1EDC6F41 reflected, and, as ext4 uses
// it, neither inverted before nor after. Eight bytes a step ("slicing by 8"), because every inode and directory
// block passes through here.

const POLYNOMIAL = 0x82f63b78;
const TABLES = makeTables();
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES;

/**
 * Continues a raw CRC over `data[from, to)`.
 *
 * @param crc ~0 (0xffffffff) to begin, or the result of the bytes before
 * @returns an unsigned 32-bit number, not inverted
 */
export function crc32c(crc: number, data: Uint8Array, from = 0, to = data.length): number {
  let c = crc | 0;
  let i = from;
  for (const end = to - 7; i < end; i += 8) {
    // Bounds are those of the loop; a typed array read past its end would give undefined, which `|` makes 0.
    c ^= at(data, i) | (at(data, i + 1) << 8) | (at(data, i + 2) << 16) | (at(data, i + 3) << 24);
    c =
      at(T7, c & 255) ^
      at(T6, (c >>> 8) & 255) ^
      at(T5, (c >>> 16) & 255) ^
      at(T4, c >>> 24) ^
      at(T3, at(data, i + 4)) ^
      at(T2, at(data, i + 5)) ^
      at(T1, at(data, i + 6)) ^
      at(T0, at(data, i + 7));
  }
  for (; i < to; i++) c = at(T0, (c ^ at(data, i)) & 255) ^ (c >>> 8);
  return c >>> 0;
}

/** Continues a raw CRC over a little-endian 32-bit number. */
export function crc32cOfNumber(crc: number, value: number): number {
  let c = crc | 0;
  for (let shift = 0; shift < 32; shift += 8) c = at(T0, (c ^ (value >>> shift)) & 255) ^ (c >>> 8);
  return c >>> 0;
}

function at(array: Uint8Array | Int32Array, index: number): number {
  return array[index] as number;
}

type Tables = [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

function makeTables(): Tables {
  const first = new Int32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = (c & 1) === 1 ? (c >>> 1) ^ POLYNOMIAL : c >>> 1;
    first[n] = c;
  }
  const next = (table: Int32Array) => table.map((c) => at(first, c & 255) ^ (c >>> 8));
  const second = next(first);
  const third = next(second);
  const fourth = next(third);
  const fifth = next(fourth);
  const sixth = next(fifth);
  const seventh = next(sixth);
  return [first, second, third, fourth, fifth, sixth, seventh, next(seventh)];
}

// Reads the one protobuf message that reaches us as bytes: kiln.v1.ErrorInfo in the details of a Connect error.
// Thirty lines of wire format (https://protobuf.dev/programming-guides/encoding/) save the protobuf runtime's import.

/** The fields of kiln.v1.ErrorInfo. */
export interface ErrorInfo {
  readonly reason: string;
  readonly hint: string;
  readonly details: Readonly<Record<string, string>>;
}

const LENGTH_DELIMITED = 2;
const MAX_DETAILS = 64;

/** Never throws: bytes that are no such message give undefined, and the error keeps its code and message. */
export function decodeErrorInfo(bytes: Uint8Array): ErrorInfo | undefined {
  let reason = "";
  let hint = "";
  const details: [string, string][] = [];
  for (const field of readFields(bytes)) {
    if (field === undefined) return undefined;
    if (field.number === 1) reason = text(field.value);
    else if (field.number === 2) hint = text(field.value);
    else if (field.number === 3 && details.length < MAX_DETAILS) details.push(readMapEntry(field.value));
  }
  return reason === "" && hint === "" ? undefined : { reason, hint, details: Object.fromEntries(details) };
}

function readMapEntry(bytes: Uint8Array): [string, string] {
  let key = "";
  let value = "";
  for (const field of readFields(bytes)) {
    if (field?.number === 1) key = text(field.value);
    else if (field?.number === 2) value = text(field.value);
  }
  return [key, value];
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}

/** Length-delimited fields in order; varints and fixed fields are passed over; `undefined` once, where bytes are damaged. */
function* readFields(
  bytes: Uint8Array,
): Generator<{ readonly number: number; readonly value: Uint8Array } | undefined, void> {
  let at = 0;
  while (at < bytes.length) {
    const tag = readVarint(bytes, at);
    if (tag === undefined) return yield undefined;
    at = tag.next;
    const wireType = tag.value % 8;
    if (wireType === LENGTH_DELIMITED) {
      const length = readVarint(bytes, at);
      if (length === undefined || length.next + length.value > bytes.length) return yield undefined;
      at = length.next + length.value;
      yield { number: Math.floor(tag.value / 8), value: bytes.subarray(length.next, at) };
      continue;
    }
    const next = skipScalar(bytes, at, wireType);
    if (next === undefined) return yield undefined;
    at = next;
  }
}

function skipScalar(bytes: Uint8Array, at: number, wireType: number): number | undefined {
  if (wireType === 0) return readVarint(bytes, at)?.next;
  const size = wireType === 1 ? 8 : wireType === 5 ? 4 : undefined;
  return size === undefined || at + size > bytes.length ? undefined : at + size;
}

/** At most five bytes: tags and lengths fit 32 bits. */
function readVarint(bytes: Uint8Array, start: number): { value: number; next: number } | undefined {
  let value = 0;
  for (let index = 0; index < 5; index++) {
    const byte = bytes[start + index];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, next: start + index + 1 };
  }
  return undefined;
}

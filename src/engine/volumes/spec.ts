// What a volume may be: names, sizes, labels. Pure.

import { Code, KilnError } from "../../base/errors.js";
import { isValidName } from "../../base/ids.js";
import { formatSize } from "../../base/units.js";

/** What is asked of a new volume. */
export interface VolumeSpec {
  /** Empty: its id, and it is anonymous. */
  readonly name: string;
  /** 0: the default. */
  readonly sizeBytes: number;
  readonly labels: Readonly<Record<string, string>>;
}

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const DEFAULT_BYTES = 64 * GIB;
/** A journal, a root directory and some room beside them. */
const LEAST_BYTES = 16 * MIB;
/** Below what ext4 hosts take as one file, with room for its own tables. */
const MOST_BYTES = 15 * 1024 * GIB;
/** An id: a name like this would hide another volume. */
const IS_ID = /^[0-9a-f]{64}$/;

/**
 * With its default size, in whole MiB.
 *
 * @throws KilnError invalid_argument `bad-name`, `bad-volume-size`, `bad-label`
 */
export function checkSpec(spec: VolumeSpec): VolumeSpec {
  const { name, labels } = spec;
  if (name !== "" && (!isValidName(name) || IS_ID.test(name))) {
    throw invalid(
      "bad-name",
      `"${name}" is not a name for a volume`,
      name.startsWith("/") || name.startsWith(".")
        ? "a directory of the host needs no volume: give its absolute path to -v of `kiln run`"
        : "use letters, digits, _ . and -, at most 63, beginning with a letter or digit",
    );
  }
  for (const key of Object.keys(labels)) {
    if (key === "") throw invalid("bad-label", "a label needs a name", "write --label NAME=VALUE");
  }
  return { ...spec, sizeBytes: spec.sizeBytes === 0 ? DEFAULT_BYTES : checkSize(spec.sizeBytes) };
}

/** @returns whole MiB. @throws KilnError invalid_argument `bad-volume-size` */
export function checkSize(sizeBytes: number): number {
  // 1k had its unit.
  if (sizeBytes > 0 && sizeBytes < 4096 && sizeBytes % 1024 !== 0) {
    const message = `${sizeBytes} bytes are too few for a volume: a number without a unit is bytes`;
    throw invalid("bad-volume-size", message, `did you mean ${sizeBytes}g?`);
  }
  const bytes = Math.ceil(sizeBytes / MIB) * MIB;
  if (bytes >= LEAST_BYTES && bytes <= MOST_BYTES) return bytes;
  throw invalid(
    "bad-volume-size",
    `a volume of ${formatSize(sizeBytes)} can't be made`,
    "give between 16m and 15t: only what is written takes space of the host",
  );
}

function invalid(reason: string, message: string, hint: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason, hint });
}

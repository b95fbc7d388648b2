// Why a volume is not given as it was asked for.

import { Code, KilnError } from "../../base/errors.js";
import { formatMemory } from "../../base/units.js";
import type { VolumeEntry } from "./entry.js";
import type { VolumeSpec } from "./spec.js";

export function shrinks({ name, sizeBytes }: VolumeEntry, wanted: number): KilnError {
  const [have, asked] = sizes(sizeBytes, wanted);
  return new KilnError(
    Code.InvalidArgument,
    `volume ${name} has ${have}: it can't be made smaller, to ${asked}`,
    {
      reason: "volume-shrink",
      hint: "make a smaller one and bring its content over: `kiln volume export` and `kiln volume import`",
    },
  );
}

export function otherSize({ name, sizeBytes, id }: VolumeEntry, wanted: VolumeSpec): KilnError {
  const [have, asked] = sizes(sizeBytes, wanted.sizeBytes);
  return new KilnError(
    Code.AlreadyExists,
    `there is a volume ${name} already, of ${have} and not of ${asked}`,
    {
      reason: "volume-exists",
      hint:
        wanted.sizeBytes > sizeBytes
          ? `grow it: \`kiln volume grow ${name} SIZE\``
          : "leave the size out, or choose another name",
      details: { volume: id },
    },
  );
}

/** As people write them; to the byte where they would look the same. */
function sizes(have: number, wanted: number): [string, string] {
  const [shown, asked] = [formatMemory(have), formatMemory(wanted)];
  return shown === asked ? [`${have} bytes`, `${wanted} bytes`] : [shown, asked];
}

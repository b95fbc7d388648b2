// The serials by which a guest tells its disks apart, whatever its kernel has called them: what a driver tells of a VM, and
// what the VM's record keeps for a later kilnd.

/** The serial of each disk, by the disk's id. */
export type DiskSerials = ReadonlyMap<string, string>;

/** What virtio-blk carries of a serial. */
export const SERIAL_BYTES = 20;

/** Among a driver's facts. Records of before have none. */
const FACT = "diskSerials";
const ENTRY = /^([a-z0-9]{1,20})=([a-z0-9]{1,20})$/;

/** Without those that would name two disks: they tell neither. Pure. */
export function distinctSerials(serials: readonly (readonly [id: string, serial: string])[]): DiskSerials {
  const bearers = new Map<string, number>();
  for (const [, serial] of serials) bearers.set(serial, (bearers.get(serial) ?? 0) + 1);
  return new Map(serials.filter(([, serial]) => bearers.get(serial) === 1));
}

/** For a record. */
export function serialFacts(serials: DiskSerials): Readonly<Record<string, string>> {
  return { [FACT]: [...serials].map(([id, serial]) => `${id}=${serial}`).join(",") };
}

/** @returns undefined where the record does not tell them, or not as we write them */
export function recordedSerials(facts: Readonly<Record<string, string>>): DiskSerials | undefined {
  const text = facts[FACT];
  if (text === undefined) return undefined;
  const entries = text === "" ? [] : text.split(",").map((entry) => ENTRY.exec(entry));
  const serials: (readonly [string, string])[] = [];
  for (const entry of entries) {
    if (entry === null) return undefined;
    const [, id = "", serial = ""] = entry;
    serials.push([id, serial]);
  }
  return distinctSerials(serials);
}

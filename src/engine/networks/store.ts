// Networks on disk: networks/<id>/network.json. What is lost of one costs its name and its addresses: VMs that have it among
// theirs are not started on it then.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { failpoint } from "../../base/failpoint.js";
import type { Logger } from "../../base/log.js";
import { type LoadedObject, ObjectStore } from "../../base/object-store.js";
import type { Reading } from "../../base/record-form.js";
import { NETWORK_RECORD_FILE } from "./entry.js";
import { DEFAULT_MTU, NETWORK_RECORD, type NetworkRecord } from "./record.js";

const ID = /^[0-9a-f]{64}$/;

export type NetworkObjects = ObjectStore<NetworkRecord>;

export interface LoadedNetwork {
  readonly id: string;
  readonly record: NetworkRecord;
  /** Why it is not pruned, and no VM comes onto it. */
  readonly recordFlaw: string | undefined;
}

export function networkObjects(dataRoot: string, log: Logger): NetworkObjects {
  return new ObjectStore<NetworkRecord>({
    ...{ noun: "network", root: join(dataRoot, "networks"), id: ID, log },
    record: {
      file: NETWORK_RECORD_FILE,
      kind: NETWORK_RECORD,
      isWhole: ({ value }) => value.name !== "" && (value.subnet4 !== "" || value.subnet6 !== ""),
    },
    onStep: (step) => failpoint(`network.${step}`),
  });
}

export async function loadNetworks(objects: NetworkObjects): Promise<LoadedNetwork[]> {
  const found = await objects.load();
  return Promise.all(found.map((each) => complete(objects, each)));
}

async function complete(
  objects: NetworkObjects,
  { id, record }: LoadedObject<NetworkRecord, never>,
): Promise<LoadedNetwork> {
  const { birthtime } = await stat(objects.path(id));
  const asked = record.value ?? lostRecord(id);
  return {
    id,
    record: { ...asked, id, name: asked.name || id, createdAt: asked.createdAt || birthtime.toISOString() },
    recordFlaw: flawOf(record),
  };
}

function lostRecord(id: string): NetworkRecord {
  return {
    ...{ version: 1, id, name: "", createdAt: "", driver: "bridge" },
    ...{ subnet4: "", gateway4: "", range4: "", subnet6: "", gateway6: "" },
    ...{ internal: false, isolated: false, mtu: DEFAULT_MTU, dnsDisabled: false, options: {}, labels: {} },
  };
}

function flawOf({ value, whole, newer, problems, damage }: Reading<NetworkRecord>): string | undefined {
  if (value === undefined) return `its record is lost: ${damage ?? `${NETWORK_RECORD_FILE} is gone`}`;
  if (newer) return `its record was written by a newer kiln (form ${value.version})`;
  if (!whole) return "its record lacks its name or addresses";
  const [problem] = problems;
  return problem === undefined ? undefined : `its record can't be understood: ${problem}`;
}

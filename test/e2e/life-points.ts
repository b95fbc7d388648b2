// Named points in the life of a VM and of a base, as the files of a data root show them: what a test kills kilnd at.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestKiln } from "./harness.js";

export interface LifePoint {
  readonly name: string;
  /** True once the point is reached or passed. */
  readonly reached: (root: string) => boolean;
}

/** A `kiln run` from its first file to its end. */
export const RUN_POINTS: readonly LifePoint[] = [
  { name: "its files are being made", reached: (root) => vms(root).length > 0 },
  { name: "it is made", reached: (root) => statuses(root).length > 0 },
  { name: "it is marked as starting", reached: (root) => hasStatus(root, '"launch"') },
  { name: "its VMM is on record", reached: (root) => hasStatus(root, '"vmm": {') },
  { name: "its program runs", reached: (root) => hasStatus(root, '"startedAt"') },
];

/** A `kiln create` of an image that is not there yet. */
export const CREATE_POINTS: readonly LifePoint[] = [
  { name: "the command was given", reached: () => true },
  { name: "the image is in the store", reached: (root) => names(root, "data/images").length > 0 },
  { name: "its base is being built", reached: (root) => names(root, "data/bases").length > 0 },
  {
    name: "its base is built",
    reached: (root) => names(root, "data/bases").some((name) => !name.startsWith(".")),
  },
  { name: "the VM is being made", reached: (root) => vms(root).length > 0 },
];

/** A `kiln rm -f` of a VM that runs. */
export const REMOVE_POINTS: readonly LifePoint[] = [
  { name: "the command was given", reached: () => true },
  { name: "its VMM is gone", reached: (root) => !hasStatus(root, '"vmm": {') },
  { name: "it is out of sight", reached: (root) => !vms(root).some((name) => !name.startsWith(".")) },
  { name: "its files are gone", reached: (root) => vms(root).length === 0 },
];

/** Resolves at the point, or when the client that should lead to it has ended. */
export async function untilReached(kiln: TestKiln, point: LifePoint, ended: Promise<unknown>): Promise<void> {
  let over = false;
  void ended.then(() => {
    over = true;
  });
  while (!over && !point.reached(kiln.root)) await new Promise((resolve) => setImmediate(resolve));
}

function vms(root: string): string[] {
  return names(root, "data/vms");
}

function names(root: string, directory: string): string[] {
  try {
    return readdirSync(join(root, directory));
  } catch {
    return []; // not made yet
  }
}

function statuses(root: string): string[] {
  return vms(root).flatMap((name) => {
    try {
      return name.startsWith(".") ? [] : [readFileSync(join(root, "data/vms", name, "status.json"), "utf8")];
    } catch {
      return []; // gone meanwhile
    }
  });
}

function hasStatus(root: string, text: string): boolean {
  return statuses(root).some((status) => status.includes(text));
}

// Takes devices out of a running QEMU, which does so when it can: a disk at once but for what is under way, a PCI card once its
// guest has let go of it.

import { Code, hasReason, KilnError } from "../../base/errors.js";
import { deferred, delay } from "../../base/runtime.js";
import type { QmpClient, QmpEvent } from "./client.js";

const LOOK_MS = 10;
const PERIPHERALS = "/machine/peripheral";

type Qmp = () => Pick<QmpClient, "execute">;

/** The devices that have an id, and what they are. */
export async function devicesOf(qmp: Qmp): Promise<ReadonlyMap<string, string>> {
  const listed = await qmp().execute("qom-list", { path: PERIPHERALS });
  if (!Array.isArray(listed)) throw strange("qom-list");
  const found = listed as { name?: unknown; type?: unknown }[];
  return new Map(found.map(({ name, type }) => [String(name), String(type)]));
}

/** A property of one of them. */
export function propertyOf(qmp: Qmp, device: string, property: string): Promise<unknown> {
  return qmp().execute("qom-get", { path: `${PERIPHERALS}/${device}`, property });
}

/** Of a command about something that may be there no more. */
export async function unlessMissing(command: Promise<unknown>): Promise<void> {
  await wasDone(command);
}

/** False where QEMU refused it. */
async function wasDone(command: Promise<unknown>): Promise<boolean> {
  try {
    await command;
    return true;
  } catch (error) {
    if (!hasReason(error, "qmp-error")) throw error;
    return false;
  }
}

export class Unplugs {
  readonly #qmp: Qmp;
  readonly #goneMs: number;
  readonly #leaving = new Map<string, () => void>();

  constructor(qmp: Qmp, goneMs: number) {
    this.#qmp = qmp;
    this.#goneMs = goneMs;
  }

  take(event: QmpEvent): void {
    if (event.name === "DEVICE_DELETED") this.#leaving.get(String(event.data.device))?.();
  }

  /**
   * Takes a node away that no device has any more. QEMU lets go of it a moment after it has told that the device is gone, and
   * refuses until then.
   *
   * @returns whether it is gone
   */
  async drop(node: string): Promise<boolean> {
    const deadline = Date.now() + this.#goneMs;
    for (;;) {
      const isDropped = await wasDone(this.#qmp().execute("blockdev-del", { "node-name": node }));
      if (isDropped || !(await hasNode(this.#qmp, node))) return true;
      if (Date.now() > deadline) return false;
      await delay(LOOK_MS);
    }
  }

  /** @returns whether the device is gone, whoever has told that */
  async unplug(device: string): Promise<boolean> {
    const gone = deferred<void>();
    this.#leaving.set(device, gone.resolve);
    const timer = setTimeout(gone.resolve, this.#goneMs);
    try {
      // It may be on its way already, or be gone by now.
      await unlessMissing(this.#qmp().execute("device_del", { id: device }));
      if (!(await devicesOf(this.#qmp)).has(device)) return true;
      await gone.promise;
    } finally {
      clearTimeout(timer);
      this.#leaving.delete(device);
    }
    // An event may be lost with its connection, and a broken QEMU tells what it likes.
    return !(await devicesOf(this.#qmp)).has(device);
  }
}

/** Whether there is a node of that name: of a disk's file, say. */
async function hasNode(qmp: Qmp, name: string): Promise<boolean> {
  const nodes = await qmp().execute("query-named-block-nodes", { flat: true });
  if (!Array.isArray(nodes)) throw strange("query-named-block-nodes");
  return (nodes as { "node-name"?: unknown }[]).some((node) => node["node-name"] === name);
}

export function strange(command: string): KilnError {
  return new KilnError(Code.DataLoss, `QEMU's answer to ${command} is none`, { reason: "qmp-violation" });
}

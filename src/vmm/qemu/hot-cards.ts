// Cards on named networks that come and go while the guest runs: in slots of PCI that the machine was launched with. The tap is made
// by a process of kilnd's and handed to QEMU over its control socket. What is there is asked of QEMU each time: a kilnd that died in
// the middle leaves a descriptor or a backend that no card has, and the next one that has to do with that card removes it.

import { Code, KilnError } from "../../base/errors.js";
import { KeyedLock } from "../../base/lock.js";
import { UndoStack } from "../../base/undo.js";
import type { HotCards } from "../card-spec.js";
import type { CardSpec } from "../types.js";
import type { QmpArguments, QmpClient, QmpEvent } from "./client.js";
import { devicesOf, Unplugs, unlessMissing } from "./unplug.js";

/** Slots of a machine: each costs its boot a little. */
export const MAX_HOT_CARDS = 4;
/** A guest that was told of it lets go within two seconds, and of its own accord after six. */
const GONE_MS = 15_000;

const slotOf = (index: number): string => `slot${index}`;
/** Of its backend, and of the descriptor before that. One of the launch has the card's own id. */
const backendOf = (id: string): string => `hot-${id}`;
const deviceOf = (id: string, slot: number): string => `card-${id}-${slot}`;
const DEVICE = /^card-([a-z][a-z0-9]{0,19})-(\d)$/;

/** The words for the slots, and what the guest's kernel must know to look after them: the machine's firmware says nothing of it. */
export function slotArguments(): string[] {
  return Array.from({ length: MAX_HOT_CARDS }, (_, index) => {
    const number = index + 1;
    return ["-device", `pcie-root-port,id=${slotOf(index)},chassis=${number},slot=${number}`];
  }).flat();
}
export const SLOT_WORDS: readonly string[] = ["pcie_ports=native"];

export interface HotCardsParts {
  /** The control connection that there is now. */
  readonly qmp: () => Pick<QmpClient, "execute" | "executeWithTap">;
  /** Path of `kiln-sendfd`; undefined where there is none. */
  readonly sendfd: string | undefined;
  readonly goneMs?: number | undefined;
}

export class QemuHotCards implements HotCards {
  readonly #parts: HotCardsParts;
  readonly #turns = new KeyedLock();
  readonly #unplugs: Unplugs;

  constructor(parts: HotCardsParts) {
    this.#parts = parts;
    this.#unplugs = new Unplugs(parts.qmp, parts.goneMs ?? GONE_MS);
  }

  take(event: QmpEvent): void {
    this.#unplugs.take(event);
  }

  find(id: string): Promise<"launched" | "come" | undefined> {
    return this.#turns.run("", () => this.#find(id));
  }

  async #find(id: string): Promise<"launched" | "come" | undefined> {
    if (await this.#isLinked(id)) return "launched";
    const isThere = (await this.#devicesOf(id)).length > 0 && (await this.#isLinked(backendOf(id)));
    return isThere ? "come" : undefined;
  }

  /** Nothing tells of backends but what may be done to them; this one does nothing to a card that is well. */
  async #isLinked(backend: string): Promise<boolean> {
    try {
      await this.#do("set_link", { name: backend, up: true });
      return true;
    } catch (error) {
      if (error instanceof KilnError && error.reason === "qmp-error") return false;
      throw error;
    }
  }

  attach(card: CardSpec): Promise<void> {
    return this.#turns.run("", () => this.#attach(card));
  }

  async #attach({ id, mac, backend }: CardSpec): Promise<void> {
    if (backend.kind !== "descriptor") throw noHotplug(`no card of the kind ${backend.kind} comes later`);
    const { sendfd, qmp } = this.#parts;
    if (sendfd === undefined) throw noHotplug("this kiln has no kiln-sendfd to hand a tap to QEMU with");
    if ((await this.#find(id)) !== undefined) return;
    const slots = await this.#slots();
    if (slots.all.length === 0) throw noHotplug("the VM was started without a place for more cards");
    await this.#cut(id);
    for (const device of await this.#devicesOf(id)) await this.#unplugs.unplug(device);
    const slot = (await this.#slots()).free[0];
    if (slot === undefined) throw tooMany();
    const name = backendOf(id);
    // What can't be undone now is undone before the card is next attached.
    await using undo = new UndoStack(() => undefined);
    await qmp().executeWithTap(backend.around, sendfd, "getfd", { fdname: name });
    undo.push("take the tap back", () => unlessMissing(this.#do("closefd", { fdname: name })));
    await this.#do("netdev_add", { type: "tap", id: name, fd: name, vhost: false });
    undo.push("remove the card's backend", () => unlessMissing(this.#do("netdev_del", { id: name })));
    // Its boot ROM would be a file of the host, which a jail does not show.
    const device = { driver: "virtio-net-pci", id: deviceOf(id, slot), bus: slotOf(slot), romfile: "" };
    await this.#do("device_add", { ...device, netdev: name, mac });
    undo.commit();
  }

  cut(id: string): Promise<void> {
    return this.#turns.run("", () => this.#cut(id));
  }

  async #cut(id: string): Promise<void> {
    for (const backend of [id, backendOf(id)]) await unlessMissing(this.#do("netdev_del", { id: backend }));
    await unlessMissing(this.#do("closefd", { fdname: backendOf(id) }));
  }

  remove(id: string): Promise<boolean> {
    return this.#turns.run("", async () => {
      let isGone = true;
      for (const device of await this.#devicesOf(id)) isGone = (await this.#unplugs.unplug(device)) && isGone;
      return isGone;
    });
  }

  async #devicesOf(id: string): Promise<string[]> {
    const devices = [...(await devicesOf(this.#parts.qmp)).keys()];
    return devices.filter((name) => DEVICE.exec(name)?.[1] === id);
  }

  async #slots(): Promise<{ readonly all: readonly number[]; readonly free: readonly number[] }> {
    const devices = [...(await devicesOf(this.#parts.qmp)).keys()];
    const taken = devices.map((name) => Number(DEVICE.exec(name)?.[2] ?? -1));
    const all = Array.from({ length: MAX_HOT_CARDS }, (_, index) => index).filter((index) =>
      devices.includes(slotOf(index)),
    );
    return { all, free: all.filter((index) => !taken.includes(index)) };
  }

  #do(command: string, args: QmpArguments): Promise<unknown> {
    return this.#parts.qmp().execute(command, args);
  }
}

function noHotplug(why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, why, {
    reason: "no-hotplug",
    hint: "stop the VM, connect it then, and start it again: it has one from there on",
  });
}

function tooMany(): KilnError {
  return new KilnError(Code.ResourceExhausted, `a VM takes ${MAX_HOT_CARDS} more cards while it runs`, {
    reason: "too-many-cards",
    hint: "disconnect it from a network that it does not need, or stop it and start it again",
  });
}

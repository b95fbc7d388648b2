// All VMs in memory, by id and by name. Names are taken here, synchronously, before anything is made: two creates
// of the same name can't both win.

import { Code, KilnError } from "../../base/errors.js";
import { generateName, resolveNamed } from "../../base/ids.js";
import type { VmEntry } from "./entry.js";

export class VmRegistry {
  readonly #vms = new Map<string, VmEntry>();
  readonly #names = new Map<string, string>();

  /** In order of creation. */
  list(): VmEntry[] {
    return [...this.#vms.values()].sort((a, b) => (a.record.createdAt < b.record.createdAt ? -1 : 1));
  }

  get(id: string): VmEntry | undefined {
    return this.#vms.get(id);
  }

  /**
   * By full id, name or unique id prefix.
   *
   * @throws KilnError not_found `vm-not-found`, invalid_argument `ambiguous-id`
   */
  find(key: string): VmEntry {
    return resolveNamed("VM", key, this.#vms.values());
  }

  /**
   * Takes a name, or makes one up for "".
   *
   * @returns the name and how to give it back
   * @throws KilnError already_exists `name-in-use`
   */
  takeName(wanted: string, id: string): { name: string; release: () => void } {
    const name = wanted === "" ? generateName((candidate) => this.#names.has(candidate)) : wanted;
    const owner = this.#names.get(name);
    if (owner !== undefined) {
      throw new KilnError(Code.AlreadyExists, `the name "${name}" is used by VM ${owner.slice(0, 12)}`, {
        reason: "name-in-use",
        hint: `remove that VM with \`kiln rm ${name}\`, or choose another name`,
        details: { vm: owner },
      });
    }
    this.#names.set(name, id);
    return { name, release: () => this.#releaseName(name, id) };
  }

  /** Takes a VM in; its name must have been taken. */
  add(entry: VmEntry): void {
    this.#vms.set(entry.id, entry);
    this.#names.set(entry.name, entry.id);
  }

  remove(entry: VmEntry): void {
    this.#vms.delete(entry.id);
    this.#releaseName(entry.name, entry.id);
  }

  #releaseName(name: string, id: string): void {
    if (this.#names.get(name) === id) this.#names.delete(name);
  }
}

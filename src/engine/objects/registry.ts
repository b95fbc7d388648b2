// All objects of a kind in memory, by id and by name. Names are taken here, synchronously, before anything is made: two
// who want the same name can't both have it.

import { Code, KilnError } from "../../base/errors.js";
import { generateName, type Named, resolveNamed, shortId } from "../../base/ids.js";

export interface RegistryKind<E extends Named> {
  /** For messages: "VM". */
  readonly noun: string;
  /** The order in which they are listed: when each was created. */
  readonly order: (entry: E) => string;
  /** What frees a name: "`kiln rm web`". */
  readonly removal: (name: string) => string;
}

export interface Taken {
  readonly name: string;
  /** Gives it back. Calling it again, or after the object has been taken in and removed, does nothing. */
  readonly release: () => void;
}

export class Registry<E extends Named> {
  readonly #kind: RegistryKind<E>;
  readonly #entries = new Map<string, E>();
  /** Name to id, also of those that are not made yet. */
  readonly #names = new Map<string, string>();

  constructor(kind: RegistryKind<E>) {
    this.#kind = kind;
  }

  list(): E[] {
    const { order } = this.#kind;
    const rank = (entry: E) => `${order(entry)} ${entry.id}`;
    return [...this.#entries.values()].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  }

  get(id: string): E | undefined {
    return this.#entries.get(id);
  }

  /** The one that bears exactly that name; none that is only being made. */
  named(name: string): E | undefined {
    const id = this.#names.get(name);
    return id === undefined ? undefined : this.#entries.get(id);
  }

  /**
   * By full id, name or unique id prefix.
   *
   * @throws KilnError not_found `<noun>-not-found`, invalid_argument `ambiguous-id`
   */
  find(key: string): E {
    return resolveNamed(this.#kind.noun, key, this.#entries.values());
  }

  /**
   * Takes a name, or makes one up for "".
   *
   * @throws KilnError already_exists `name-in-use`
   */
  takeName(wanted: string, id: string): Taken {
    const name = wanted === "" ? generateName((candidate) => this.#names.has(candidate)) : wanted;
    const owner = this.#names.get(name);
    if (owner !== undefined) throw this.#nameInUse(name, owner);
    this.#names.set(name, id);
    return { name, release: () => this.#releaseName(name, id) };
  }

  /** Takes an object in; its name must have been taken, unless it was there before kilnd was. */
  add(entry: E): void {
    this.#entries.set(entry.id, entry);
    this.#names.set(entry.name, entry.id);
  }

  remove(entry: E): void {
    if (this.#entries.get(entry.id) === entry) this.#entries.delete(entry.id);
    this.#releaseName(entry.name, entry.id);
  }

  #releaseName(name: string, id: string): void {
    if (this.#names.get(name) !== id) return;
    this.#names.delete(name);
    // One that is there keeps its name, and so does the second of two that bear it: a file was changed by hand.
    const bearer = [...this.#entries.values()].find((entry) => entry.name === name);
    if (bearer !== undefined) this.#names.set(name, bearer.id);
  }

  #nameInUse(name: string, owner: string): KilnError {
    const { noun, removal } = this.#kind;
    return new KilnError(Code.AlreadyExists, `the name "${name}" is used by ${noun} ${shortId(owner)}`, {
      reason: "name-in-use",
      hint: `remove that ${noun} with ${removal(name)}, or choose another name`,
      details: { [noun.toLowerCase()]: owner },
    });
  }
}

// Who uses what. One table, rebuilt when kilnd starts and kept up with every change, which every removal asks. Nothing
// in here waits: between a question and what is done upon its answer nobody else has a turn.
//
// A use is on disk in its user's record. A lease stands for one that is not yet: a VM in the making needs its image,
// its base, its kernel. A claim is a removal that has begun. Of one thing there are leases or there is a claim, never both.

import { orAborted } from "../../base/abort.js";
import { Code, KilnError } from "../../base/errors.js";
import { shortId } from "../../base/ids.js";

export type Noun = "vm" | "image" | "base" | "kernel" | "workload" | "volume" | "network";

export interface Ref {
  readonly noun: Noun;
  readonly id: string;
}

/**
 * `needs`: never broken (a VM's disk is nothing without its base). `made-from`: force may break it; the user lives on,
 * and what it names may come back (a VM and its image).
 */
export type How = "needs" | "made-from";

export interface Use {
  readonly from: Ref;
  readonly to: Ref;
  readonly how: How;
}

export interface Lease {
  /** Calling it again does nothing. */
  readonly release: () => void;
}

export interface Claim {
  readonly to: Ref;
  /** Calling it again does nothing. */
  readonly release: () => void;
}

export interface ClaimOptions {
  /** Uses that do not stand in the way. */
  readonly breaks?: readonly Exclude<How, "needs">[];
  /** What a user who is refused can do; there are words for it where this is not said. */
  readonly hint?: string | undefined;
}

/** Named in a refusal, however many there are. */
const MOST_NAMED = 5;

interface Leased {
  readonly to: Ref;
  readonly why: string;
}

interface Obstacle {
  readonly reason: string;
  readonly why: string;
  readonly hint: string;
  readonly holders: readonly Ref[];
}

export class References {
  readonly #describe: (ref: Ref) => string;
  /** By user. */
  readonly #uses = new Map<string, readonly Use[]>();
  /** By what is used, then by user. */
  readonly #users = new Map<string, Map<string, readonly Use[]>>();
  readonly #leases = new Map<string, Set<Leased>>();
  readonly #claims = new Map<string, { readonly released: Promise<void> }>();

  /** @param describe for messages: "VM web" */
  constructor(describe: (ref: Ref) => string = describeById) {
    this.#describe = describe;
  }

  /**
   * All that a thing uses, in place of what it used before.
   *
   * @throws KilnError failed_precondition `being-removed`: what is new among them is claimed; nothing has changed then
   */
  set(from: Ref, uses: readonly Omit<Use, "from">[]): void {
    const before = new Set(this.usesOf(from).map(({ to }) => keyOf(to)));
    for (const { to } of uses) if (!before.has(keyOf(to))) this.#requireUnclaimed(to);
    this.drop(from);
    if (uses.length === 0) return;
    const all = uses.map(({ to, how }): Use => ({ from, to, how }));
    this.#uses.set(keyOf(from), all);
    for (const use of all) {
      const users = this.#users.get(keyOf(use.to)) ?? new Map<string, readonly Use[]>();
      users.set(keyOf(from), [...(users.get(keyOf(from)) ?? []), use]);
      this.#users.set(keyOf(use.to), users);
    }
  }

  /** It is gone, and uses nothing any more. */
  drop(from: Ref): void {
    for (const { to } of this.usesOf(from)) {
      const users = this.#users.get(keyOf(to));
      users?.delete(keyOf(from));
      if (users?.size === 0) this.#users.delete(keyOf(to));
    }
    this.#uses.delete(keyOf(from));
  }

  usesOf(from: Ref): readonly Use[] {
    return this.#uses.get(keyOf(from)) ?? [];
  }

  usersOf(to: Ref): Use[] {
    return [...(this.#users.get(keyOf(to))?.values() ?? [])].flat();
  }

  /** Those that a claim would be given at this moment. */
  free(noun: Noun, ids: Iterable<string>, { breaks = [] }: ClaimOptions = {}): string[] {
    return [...ids].filter((id) => this.#obstacle({ noun, id }, breaks) === undefined);
  }

  /** Uses of what is not there, and of users that are not there. */
  dangling(exists: (ref: Ref) => boolean): Use[] {
    return [...this.#uses.values()].flat().filter(({ from, to }) => !exists(from) || !exists(to));
  }

  /** What is held by work that goes on; nothing at rest. */
  leased(): Ref[] {
    return [...this.#leases.values()].flatMap((leases) => [...leases].map(({ to }) => to));
  }

  /**
   * Keeps it from being claimed. It need not be there yet: a base is known by its key before it is built.
   *
   * @param why for whoever wants to remove it: "VM web is being made from it"
   * @throws KilnError failed_precondition `being-removed`
   */
  lease(to: Ref, why: string): Lease {
    this.#requireUnclaimed(to);
    const leases = this.#leases.get(keyOf(to)) ?? new Set<Leased>();
    this.#leases.set(keyOf(to), leases);
    const lease = { to, why };
    leases.add(lease);
    return {
      release: () => {
        leases.delete(lease);
        if (leases.size === 0 && this.#leases.get(keyOf(to)) === leases) this.#leases.delete(keyOf(to));
      },
    };
  }

  /**
   * The same for what can be made again: waits until its removal is over. A removal waits for nobody who waits here.
   *
   * @throws the signal's reason
   */
  async leaseAfterRemoval(to: Ref, why: string, signal?: AbortSignal): Promise<Lease> {
    for (;;) {
      signal?.throwIfAborted();
      const claim = this.#claims.get(keyOf(to));
      if (claim === undefined) return this.lease(to, why);
      await orAborted(claim.released, signal);
    }
  }

  /**
   * Begins its removal: from here until the release nobody comes to use it.
   *
   * @throws KilnError failed_precondition `<noun>-in-use`, `being-removed`
   */
  claim(to: Ref, options: ClaimOptions = {}): Claim {
    const obstacle = this.#obstacle(to, options.breaks ?? []);
    if (obstacle !== undefined) throw this.#refusal(to, obstacle, options.hint);
    return this.#claim(to);
  }

  /** The same, undefined where it is refused. */
  tryClaim(to: Ref, options: ClaimOptions = {}): Claim | undefined {
    return this.#obstacle(to, options.breaks ?? []) === undefined ? this.#claim(to) : undefined;
  }

  #claim(to: Ref): Claim {
    let over!: () => void;
    const claim = { released: new Promise<void>((resolve) => (over = resolve)) };
    this.#claims.set(keyOf(to), claim);
    return {
      to,
      release: () => {
        if (this.#claims.get(keyOf(to)) === claim) this.#claims.delete(keyOf(to));
        over();
      },
    };
  }

  #obstacle(to: Ref, breaks: readonly How[]): Obstacle | undefined {
    const key = keyOf(to);
    if (this.#claims.has(key)) {
      const why = "it is being removed already";
      return { reason: "being-removed", why, hint: "wait until it is gone", holders: [] };
    }
    const reason = `${to.noun}-in-use`;
    const users = this.usersOf(to).filter(({ how }) => !breaks.includes(how));
    if (users.length > 0) {
      const holders = unique(users.map(({ from }) => from));
      const why = `it is used by ${listed(holders.map(this.#describe))}`;
      return { reason, why, hint: "remove what uses it first", holders };
    }
    const leases = this.#leases.get(key);
    if (leases === undefined) return undefined;
    const why = listed([...new Set([...leases].map((lease) => lease.why))]);
    return { reason, why, hint: "try again when that is done", holders: [] };
  }

  #refusal(to: Ref, { reason, why, holders, ...obstacle }: Obstacle, hint = obstacle.hint): KilnError {
    const ids = holders.slice(0, MOST_NAMED).map(keyOf);
    return new KilnError(Code.FailedPrecondition, `cannot remove ${this.#describe(to)}: ${why}`, {
      reason,
      hint,
      details: ids.length === 0 ? {} : { holders: ids.join(",") },
    });
  }

  #requireUnclaimed(to: Ref): void {
    if (!this.#claims.has(keyOf(to))) return;
    throw new KilnError(Code.FailedPrecondition, `cannot use ${this.#describe(to)}: it is being removed`, {
      reason: "being-removed",
      hint: "try again in a moment",
    });
  }
}

function keyOf({ noun, id }: Ref): string {
  return `${noun} ${id}`;
}

function describeById({ noun, id }: Ref): string {
  return `${noun === "vm" ? "VM" : noun} ${shortId(id)}`;
}

function unique(refs: readonly Ref[]): Ref[] {
  return [...new Map(refs.map((ref) => [keyOf(ref), ref])).values()];
}

function listed(words: readonly string[]): string {
  const rest = words.length - MOST_NAMED;
  return words.slice(0, MOST_NAMED).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

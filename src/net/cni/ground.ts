// Where plugins run and make links: on the host itself for root; for an ordinary user in namespaces of the user's own, in which
// they are root. Those are others than the user's bridge networks have: plugins switch and load what they like there.

import { readlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { KeyedLock } from "../../base/lock.js";
import { isRoot } from "../bridge/ground.js";
import { hostPlace } from "../bridge/host-place.js";
import { type FoundPasst, refusalForUser } from "../bridge/look.js";
import type { Place } from "../bridge/place.js";
import { endUserPlace, ensureUserPlace, findUserPlace, type UserPlaceOptions } from "../bridge/user-place.js";
import { isLoopback, readHostDns } from "../host-dns.js";

export interface CniGroundOptions {
  /** Of the holders' records, for a boot of the host: private to kilnd. */
  readonly directory: string;
  /** Which passt, which has pasta beside it, or why there is none; asked for an ordinary user. */
  readonly passt: () => Promise<FoundPasst>;
  readonly netguard: string | undefined;
  /** Of every process. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

export class CniGround {
  readonly #options: CniGroundOptions;
  readonly #lock = new KeyedLock();
  /** Who is about to come there, or to leave. */
  #guests = 0;

  constructor(options: CniGroundOptions) {
    this.#options = options;
  }

  /** Why there can be no such networks; undefined where there can. */
  async refusal(): Promise<string | undefined> {
    return isRoot() ? undefined : refusalForUser(await this.#options.passt());
  }

  /** That there can be. @throws KilnError failed_precondition `no-cni` */
  async require(): Promise<void> {
    const refusal = await this.refusal();
    if (refusal !== undefined) throw noCni(refusal);
  }

  /** Made where it is not. @throws KilnError failed_precondition `no-cni`, `no-netguard`; unavailable `network-failed` */
  async ensure(): Promise<Place> {
    if (isRoot()) return rootPlace();
    await this.require();
    const { program = "" } = await this.#options.passt();
    const options = await this.#userPlace(program);
    return this.#lock.run("place", () => ensureUserPlace(options));
  }

  /** Undefined where there is none, and so nothing of any plugin's. */
  async find(): Promise<Place | undefined> {
    return isRoot() ? rootPlace() : findUserPlace(await this.#userPlace(""));
  }

  /** Whether a card's namespace belongs to the place that there is: one of a place that has gone leads nowhere, and can't be entered. */
  async has(holder: number): Promise<boolean> {
    if (isRoot()) return true;
    const place = await this.find();
    if (place?.holder === undefined) return false;
    const [one, other] = await Promise.all([place.holder, holder].map(userNamespaceOf));
    return one !== undefined && one === other;
  }

  /** The place does not end meanwhile. */
  async within<T>(work: () => Promise<T>): Promise<T> {
    this.#guests++;
    try {
      return await work();
    } finally {
      this.#guests--;
    }
  }

  /** A user's own namespaces go with the last card. @param isEmpty asked while nobody comes */
  async endUnused(isEmpty: () => Promise<boolean>): Promise<void> {
    if (isRoot()) return;
    await this.#lock.run("place", async () => {
      if (this.#guests === 0 && (await isEmpty())) await endUserPlace(this.#directory);
    });
  }

  async #userPlace(passt: string): Promise<UserPlaceOptions> {
    const { netguard, environment = {} } = this.#options;
    const { servers } = await readHostDns();
    return {
      ...{ directory: this.#directory, pasta: join(dirname(passt), "pasta"), netguard },
      ...{ environment, servers, isForPlugins: true },
    };
  }

  get #directory(): string {
    return join(this.#options.directory, "place");
  }
}

/** A guest does not reach the host's loopback. */
async function rootPlace(): Promise<Place> {
  const { servers, upstream, ...place } = hostPlace((await readHostDns()).servers);
  return { ...place, servers, upstream: upstream.filter((server) => !isLoopback(server)) };
}

function userNamespaceOf(pid: number): Promise<string | undefined> {
  return readlink(`/proc/${pid}/ns/user`).catch(() => undefined);
}

function noCni(why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `there can be no CNI networks here: ${why}`, {
    reason: "no-cni",
    hint: "`kiln doctor` names what is missing; --network user needs none of it",
  });
}

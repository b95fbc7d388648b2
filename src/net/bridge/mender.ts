// Keeps networks whole while kilnd runs: what has died runs again, a change of the host's resolvers is passed on, and what others
// have taken away or switched off is made again. Looks now and then: a look is a few files, and every other time one listing of nft's.

import { KilnError } from "../../base/errors.js";
import type { NetworkSpec } from "../../base/networks.js";
import { readHostDns } from "../host-dns.js";
import type { Ground, Grounds } from "./ground.js";
import { allCounters } from "./listings.js";
import type { Live } from "./live.js";
import { type Loss, lossOf, type Sight, wordsOf } from "./lost.js";
import type { NetworkNames } from "./network-names.js";
import { linksIn, runIn } from "./place.js";
import { planShut } from "./plan-links.js";

/** A resolver that died is noticed so soon. */
const LOOK_MS = 1_000;
/** Looks of which one is for rules and links, too: nft costs more than the rest. */
const LOOKS_PER_LISTING = 2;
/** A VM that ends in the middle takes its tap along, and no rule can name it: once more, without it. */
const ATTEMPTS = 3;

export interface MenderRoom {
  readonly grounds: Grounds;
  readonly names: NetworkNames;
  /** By id. */
  readonly live: ReadonlyMap<string, Live>;
  locked(networkId: string, work: () => Promise<void>): Promise<void>;
  /** Makes what is missing of a network without its cards. */
  raise(ground: Ground, spec: NetworkSpec): Promise<void>;
  /** The same with its cards. */
  restore(ground: Ground, live: Live): Promise<void>;
  /** What can't be mended, for the log. */
  tell(message: string): void;
  /** What was mended, for the log. @param lost "its bridge" */
  tellMended(network: string, lost: string): void;
}

export class Mender {
  readonly #room: MenderRoom;
  #timer: NodeJS.Timeout | undefined;
  #isAtWork = false;
  #looks = 0;
  #told: string | undefined;
  /** Of the last look, and of the one before. */
  #links: ReadonlySet<string> = new Set();
  #before: ReadonlySet<string> = new Set();
  /** By id, those that nobody passes, because they could not be mended. */
  readonly #shut = new Map<string, Loss>();

  constructor(room: MenderRoom) {
    this.#room = room;
  }

  /** Idempotent. */
  begin(): void {
    this.#timer ??= setInterval(() => void this.#mendAll(), LOOK_MS).unref();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #mendAll(): Promise<void> {
    if (this.#isAtWork) return;
    this.#isAtWork = true;
    try {
      await this.#mendEach();
      this.#tell(undefined);
    } catch (error) {
      this.#tell(KilnError.from(error).message);
    } finally {
      this.#isAtWork = false;
    }
  }

  async #mendEach(): Promise<void> {
    const { grounds, live, names } = this.#room;
    const { servers } = await readHostDns();
    const isOpen = await grounds.isWhole();
    const failures: unknown[] = [];
    const lost = await this.#look().catch((error: unknown) => {
      failures.push(error);
      return new Set<string>();
    });
    for (const id of [...live.keys()]) {
      const mended = this.#room.locked(id, () =>
        this.#mend(id, lost.has(id), isOpen && names.areTold(id, servers)),
      );
      await mended.catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Ids of networks that seem to have lost something. */
  async #look(): Promise<Set<string>> {
    this.#looks = (this.#looks + 1) % LOOKS_PER_LISTING;
    const ground = this.#looks === 0 ? await this.#room.grounds.find() : undefined;
    if (ground === undefined) return new Set();
    this.#before = this.#links;
    const sight = await sightOf(ground, this.#before);
    this.#links = sight.links;
    const lost = [...this.#room.live.values()].filter((live) => lossOf(live, sight) !== undefined);
    return new Set(lost.map(({ spec }) => spec.id));
  }

  async #mend(id: string, isLost: boolean, isWell: boolean): Promise<void> {
    const { grounds, names, raise, tellMended } = this.#room;
    const live = this.#room.live.get(id);
    if (live === undefined) {
      this.#shut.delete(id);
    } else if (isLost || this.#shut.has(id)) {
      await this.#restore(await grounds.ensure(), live);
    } else {
      const isOff = await grounds.isForwardingOff(live.spec);
      if (!isOff && isWell && (await names.areRunning(id))) return;
      const ground = await grounds.ensure();
      // Those who answer on a bridge end with it, and are seen to be gone before the bridge is.
      await this.#restore(ground, live);
      await raise(ground, live.spec);
      if (isOff) tellMended(live.spec.name, "the host's forwarding");
    }
  }

  async #restore(ground: Ground, live: Live): Promise<void> {
    const { names, restore, tellMended } = this.#room;
    const { spec } = live;
    // Looked at once more: whoever had the network's lock may have been about to make it.
    const loss = lossOf(live, await sightOf(ground, this.#before)) ?? this.#shut.get(spec.id);
    if (loss === undefined) return;
    try {
      // They listen at a link that is no longer.
      if (loss.isBridge) await names.end(spec.id);
      await again(ATTEMPTS, () => restore(ground, live));
    } catch (error) {
      this.#shut.set(spec.id, loss);
      await shut(ground, spec);
      throw error;
    }
    this.#shut.delete(spec.id);
    tellMended(spec.name, wordsOf(loss));
  }

  /** Once, until it is another. */
  #tell(message: string | undefined): void {
    if (message !== undefined && message !== this.#told) this.#room.tell(message);
    this.#told = message;
  }
}

/** Links first: a card that comes in between has its rules before it is looked at again. */
async function sightOf(ground: Ground, before: ReadonlySet<string>): Promise<Sight> {
  const links = await linksIn(ground.place);
  return { links, before, counters: await allCounters(ground) };
}

async function again(attempts: number, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (attempts <= 1) throw error;
    await again(attempts - 1, work);
  }
}

/** Nothing holds those on it to their rules: rather nobody passes. */
async function shut({ place, programs }: Ground, spec: NetworkSpec): Promise<void> {
  const batch = planShut(spec, await linksIn(place));
  if (batch === "") return;
  await runIn(place, `shut network ${spec.name}`, [programs.ip, "-batch", "-"], batch);
}

// Named networks on this host: each is a bridge with its rules and its resolver, in the host's own namespace for root and in one
// of the user's own for everybody else (docs/design/0030-networks.md). All of it is found by names that ids give; what is kept in
// memory is who is on which network.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { failpoint } from "../../base/failpoint.js";
import { exists, makeDirectory, writeFileAtomic } from "../../base/files.js";
import { KeyedLock } from "../../base/lock.js";
import { bridgeName, type NetworkSpec, tableName } from "../../base/networks.js";
import type { PortMapping } from "../../base/ports.js";
import { Recent } from "../../base/recent.js";
import type {
  BridgeRoom,
  BridgeVerdict,
  CardCounters,
  JoinedCard,
  NetworkCard,
  NetworkInUse,
  TakenRange,
} from "../types.js";
import { countersIn, type Listing, staleTables } from "./found.js";
import { type Ground, type GroundOptions, Grounds, isRoot } from "./ground.js";
import { switchOnForwarding } from "./host-place.js";
import { allCounters, tableNames } from "./listings.js";
import { type Live, nameOf, notUp, setPort } from "./live.js";
import { Mender } from "./mender.js";
import { NetworkNames } from "./network-names.js";
import { overlapsOf, refuseOverlap } from "./overlap.js";
import { linksIn, runIn } from "./place.js";
import { assertPlainCard, assertPlainNetwork } from "./plain.js";
import { cableCard } from "./plan-cable.js";
import { planCard, planNoCard } from "./plan-card.js";
import { planLinks, planNoLinks } from "./plan-links.js";
import { planPublish, planUnpublish } from "./plan-publish.js";
import { planNoRules, planRules } from "./plan-rules.js";
import { descriptorCard } from "./plan-tap.js";
import { resolversOf } from "./resolvers.js";
import { restoreCards } from "./restore-cards.js";

export interface BridgeOptions extends GroundOptions {
  /** What can't be mended, for the log. */
  readonly tell?: ((message: string) => void) | undefined;
  /** What others had taken away and is there again, for the log. */
  readonly tellMended?: ((network: string, lost: string) => void) | undefined;
}

export class BridgeNetworks implements BridgeRoom {
  readonly publishes = isRoot();
  readonly #options: BridgeOptions;
  readonly #grounds: Grounds;
  readonly #names: NetworkNames;
  readonly #live = new Map<string, Live>();
  /** Those that are being removed: they need their place to the end. */
  readonly #leaving = new Set<string>();
  readonly #lock = new KeyedLock();
  /** One listing has the counters of all: those who ask at one moment share it. */
  readonly #counting = new Recent<Listing>(0);
  readonly #mender: Mender;

  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#grounds = new Grounds(options);
    this.#names = new NetworkNames(options);
    const { tell = () => undefined, tellMended = () => undefined } = options;
    this.#mender = new Mender({
      ...{ grounds: this.#grounds, names: this.#names, live: this.#live, tell, tellMended },
      locked: (id, work) => this.#locked(id, work),
      raise: (ground, spec) => this.#raise(ground, spec),
      restore: (ground, live) => this.#restore(ground, live),
    });
  }

  async look(): Promise<BridgeVerdict> {
    const verdict = await this.#grounds.look();
    if (!verdict.usable || !isRoot() || this.#live.size === 0) return verdict;
    const taken = await this.taken();
    const lying = [...this.#live.values()].flatMap(({ spec }) =>
      overlapsOf(spec, taken).map(
        (overlap) => `network ${spec.name}: its ${overlap}: its VMs may be cut off`,
      ),
    );
    return { ...verdict, warnings: [...verdict.warnings, ...lying] };
  }

  async up(spec: NetworkSpec): Promise<void> {
    assertPlainNetwork(spec);
    await this.#locked(spec.id, async () => {
      const before = this.#live.get(spec.id);
      // Whoever ends a place looks here first.
      this.#live.set(spec.id, before ?? { spec, cards: new Map() });
      try {
        const ground = await this.#grounds.ensure();
        if (before === undefined || !(await this.#isUp(ground, spec))) await this.#raise(ground, spec);
      } catch (error) {
        if (before === undefined) this.#live.delete(spec.id);
        throw error;
      }
    });
  }

  /** Of one that others are on: whoever joins loads its rules anew, and what is lost of it is looked for all the time. */
  async #isUp({ place }: Ground, { id }: NetworkSpec): Promise<boolean> {
    if (!(await linksIn(place)).has(bridgeName(id)) || !this.#names.areTold(id, place.servers)) return false;
    return this.#names.areRunning(id);
  }

  async #raise(ground: Ground, spec: NetworkSpec): Promise<void> {
    await this.#make(ground, spec);
    await this.#tellNames(ground, spec);
  }

  /** Rules and links, without those of cards. */
  async #make({ programs, place }: Ground, spec: NetworkSpec): Promise<void> {
    // By it a network that was up is known.
    await makeDirectory(this.#names.directoryOf(spec.id));
    failpoint("network.noted");
    const links = await linksIn(place);
    if (place.holder === undefined) {
      if (!links.has(bridgeName(spec.id))) await refuseOverlap(programs.ip, spec);
      await switchOnForwarding(place, programs, spec);
      failpoint("network.forwards");
    }
    // Before there is a link that they are about.
    await runIn(place, `load the rules of network ${spec.name}`, [programs.nft, "-f", "-"], planRules(spec));
    failpoint("network.ruled");
    await runIn(
      place,
      `make the links of network ${spec.name}`,
      [programs.ip, "-batch", "-"],
      planLinks(spec, links),
    );
    failpoint("network.linked");
  }

  async #tellNames(ground: Ground, spec: NetworkSpec): Promise<void> {
    await this.#names.tell(ground, this.#live.get(spec.id) ?? { spec, cards: new Map() });
    failpoint("network.named");
    this.#mender.begin();
  }

  async join(spec: NetworkSpec, card: NetworkCard): Promise<JoinedCard> {
    assertPlainNetwork(spec);
    assertPlainCard(card);
    return this.#locked(spec.id, async () => {
      const ground = await this.#grounds.ensure();
      const live = this.#live.get(spec.id);
      if (live === undefined) throw notUp(spec);
      const file = this.#rulesFile(spec.id, card);
      // The network's own as well: somebody may flush all rules before these are loaded.
      await writeFileAtomic(file, planRules(spec) + planCard(spec, card), { durable: false });
      failpoint("network.card");
      live.cards.set(nameOf(card), card);
      await this.#names.tell(ground, live);
      failpoint("network.joined");
      const { programs, place } = ground;
      const tap = cableCard(programs, place, file, spec, card, process.pid);
      return { ...descriptorCard(programs, place, file, spec, card), tap };
    });
  }

  leave(spec: NetworkSpec, card: NetworkCard): Promise<void> {
    return this.#locked(spec.id, async () => {
      const ground = await this.#grounds.find();
      const live = this.#live.get(spec.id);
      live?.cards.delete(nameOf(card));
      if (ground !== undefined && (await linksIn(ground.place)).has(bridgeName(spec.id))) {
        // The network's own first: somebody may have flushed all rules.
        const rules = planRules(spec) + planNoCard(spec, card);
        const nft = [ground.programs.nft, "-f", "-"];
        await runIn(ground.place, `take away the rules of ${card.vmName}`, nft, rules);
        failpoint("network.left");
        if (live !== undefined) await this.#names.tell(ground, live);
        failpoint("network.unjoined");
      }
      await rm(this.#rulesFile(spec.id, card), { force: true });
    });
  }

  publish(spec: NetworkSpec, card: NetworkCard, port: PortMapping): Promise<void> {
    const rules = planPublish(spec, card, port);
    return this.#lead(spec, card, rules, `publish a port of ${card.vmName}`, port, [port]);
  }

  unpublish(spec: NetworkSpec, card: NetworkCard, port: PortMapping): Promise<void> {
    const rules = planUnpublish(spec, card, port);
    return this.#lead(spec, card, rules, `take back a port of ${card.vmName}`, port, []);
  }

  #lead(
    spec: NetworkSpec,
    card: NetworkCard,
    rules: string,
    what: string,
    port: PortMapping,
    then: readonly PortMapping[],
  ): Promise<void> {
    assertPlainNetwork(spec);
    assertPlainCard(card);
    return this.#locked(spec.id, async () => {
      if (rules === "") return;
      const live = this.#live.get(spec.id);
      if (live === undefined) throw notUp(spec);
      const { place, programs } = await this.#grounds.ensure();
      await runIn(place, what, [programs.nft, "-f", "-"], rules);
      setPort(live, card, port, then);
    });
  }

  async adopt({ spec, cards }: NetworkInUse): Promise<void> {
    assertPlainNetwork(spec);
    cards.forEach(assertPlainCard);
    await this.#locked(spec.id, async () => {
      const live = { spec, cards: new Map(cards.map((card) => [nameOf(card), card])) };
      this.#live.set(spec.id, live);
      await this.#restore(await this.#grounds.ensure(), live);
    });
  }

  /** All that is missing of a network and of those on it. Names come last: until rules are there, nothing holds anybody to them. */
  async #restore(ground: Ground, live: Live): Promise<void> {
    const { spec } = live;
    await this.#make(ground, spec);
    await restoreCards(ground, live);
    await this.#tellNames(ground, spec);
  }

  down(spec: NetworkSpec): Promise<void> {
    return this.#locked(spec.id, async () => {
      // One that was never up asks nothing of the host: it may have no right and no programs for it.
      if (!this.#live.has(spec.id) && !(await exists(this.#names.directoryOf(spec.id)))) return;
      await this.#remove(spec.id, spec.name);
    });
  }

  async #remove(networkId: string, name: string): Promise<void> {
    this.#live.delete(networkId);
    this.#leaving.add(networkId);
    try {
      await this.#takeAway(networkId, name);
    } finally {
      this.#leaving.delete(networkId);
    }
    await this.#endPlace();
  }

  async #takeAway(networkId: string, name: string): Promise<void> {
    await this.#names.end(networkId);
    failpoint("network.unnamed");
    const ground = await this.#grounds.find();
    if (ground !== undefined) {
      const { place, programs } = ground;
      const batch = planNoLinks([bridgeName(networkId)], await linksIn(place));
      if (batch !== "")
        await runIn(place, `remove the links of network ${name}`, [programs.ip, "-batch", "-"], batch);
      failpoint("network.unlinked");
      const rules = planNoRules([["inet", tableName(networkId)]]);
      await runIn(place, `remove the rules of network ${name}`, [programs.nft, "-f", "-"], rules);
      failpoint("network.unruled");
    }
    await rm(this.#names.directoryOf(networkId), { recursive: true, force: true });
    failpoint("network.forgotten");
  }

  /** A user's own namespace goes with the last network in it. */
  async #endPlace(): Promise<void> {
    if (await this.#grounds.end(() => this.#live.size + this.#leaving.size === 0)) this.detach();
  }

  async sweep(known: {
    networks: readonly string[];
    vms: readonly string[];
    inUse: readonly NetworkInUse[];
  }): Promise<void> {
    const used = new Set(known.inUse.map(({ spec }) => spec.id));
    const cards = new Set(known.inUse.flatMap(({ cards }) => cards.map(nameOf)));
    const ground = await this.#grounds.find();
    const tables = ground === undefined ? new Set<string>() : await tableNames(ground);
    const links = ground === undefined ? new Set<string>() : await linksIn(ground.place);
    for (const id of known.networks) {
      const isThere = tables.has(tableName(id)) || links.has(bridgeName(id));
      if (!used.has(id))
        await this.#locked(id, () => (isThere ? this.#remove(id, id.slice(0, 12)) : this.#forget(id)));
    }
    failpoint("network.swept");
    if (ground === undefined) return this.#endPlace();
    const rules = planNoRules(staleTables(tables, known.vms, cards).map((table) => ["netdev", table]));
    const nft = [ground.programs.nft, "-f", "-"];
    if (rules !== "") await runIn(ground.place, "remove rules of VMs that do not run", nft, rules);
    await this.#endPlace();
  }

  /** What a killed kilnd may have left of a network that is not up. */
  async #forget(networkId: string): Promise<void> {
    await this.#names.end(networkId);
    await rm(this.#names.directoryOf(networkId), { recursive: true, force: true });
  }

  async counters(spec: NetworkSpec): Promise<ReadonlyMap<string, CardCounters>> {
    const ground = await this.#grounds.find();
    const live = this.#live.get(spec.id);
    if (ground === undefined || live === undefined) return new Map();
    const list = () => allCounters(ground);
    const found = countersIn(await this.#counting.get(list, () => false), tableName(spec.id));
    const none = { denied: 0, forged: 0 };
    return new Map([...live.cards].map(([name, card]) => [card.vmId, found.get(name) ?? none]));
  }

  taken(): Promise<readonly TakenRange[]> {
    return this.#grounds.taken();
  }

  resolversOf(spec: NetworkSpec): readonly string[] {
    return resolversOf(spec);
  }

  /** kilnd goes: all goes on. */
  detach(): void {
    this.#mender.end();
  }

  #rulesFile(networkId: string, card: NetworkCard): string {
    return join(this.#names.directoryOf(networkId), `${nameOf(card)}.nft`);
  }

  #locked<T>(networkId: string, work: () => Promise<T>): Promise<T> {
    return this.#lock.run(networkId, async () => {
      await makeDirectory(this.#options.directory);
      return work();
    });
  }
}

// CNI networks for VMs. A card has a namespace of its own, in which its plugins make a link as they do for containers; that link
// and the VMM's tap are then one cable (plan-tap), so that the guest is where a container would be.

import { join } from "node:path";
import type { EgressPolicy } from "../../base/egress.js";
import { hasReason, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import { makeDirectory } from "../../base/files.js";
import { KeyedLock } from "../../base/lock.js";
import { tapName } from "../../base/networks.js";
import { findProgram } from "../../base/programs.js";
import type { RecordFiles } from "../../base/record-files.js";
import type { JsonObject } from "../../base/versioned.js";
import type { Place } from "../bridge/place.js";
import type {
  CardCounters,
  CniCard,
  CniJoined,
  CniKeeping,
  CniKey,
  CniListing,
  CniRoom,
  DescriptorCard,
} from "../types.js";
import { answer, answeredFamilies, answerNoMore } from "./answers.js";
import { attachmentOf, holderRecord, ifNameOf, keyOf, recorded } from "./attachment.js";
import { collectGarbage, each } from "./collect.js";
import type { CniNetwork } from "./conflist.js";
import { type FoundConflist, findConflist, findConflists } from "./conflists.js";
import { CniFrames } from "./frames.js";
import { type CniPrograms, ipsOf, joinedOf, programs, requireGiven } from "./given.js";
import { CniGround, type CniGroundOptions } from "./ground.js";
import { type CniLink, lookInside } from "./inside.js";
import { endNamespace, endOrphans, helperIds, holdNamespace, namespacePath, within } from "./namespace.js";
import { cniDescriptorCard } from "./plan-tap.js";
import { type CniRecord, cniRecords, networkJson, networkOf, readRecord } from "./record.js";
import { lost, withBoth } from "./refusals.js";
import { deleteCard, holderOf } from "./removal.js";
import { CniRuntime, type CniRuntimeOptions } from "./runtime.js";

export interface CniOptions extends Omit<CniRuntimeOptions, "prefix">, CniGroundOptions {
  /** Directories of .conflist files, in order. */
  readonly configs: readonly string[];
  readonly dataRoot: string;
  /** Paths of kiln-tap and kiln-lease. */
  readonly tap: string;
  readonly lease: string;
  /** bubblewrap; default the one in PATH. */
  readonly bwrap?: string | undefined;
  /** Networks that nobody but this kilnd has VMs or containers on: what it does not know of is removed. */
  readonly alone?: readonly string[] | undefined;
  /** What CHECK finds wrong with what a VM has that runs, for the log. */
  readonly tell?: ((why: string) => void) | undefined;
}

interface Given {
  readonly place: Place;
  readonly holder: number;
  readonly link: CniLink;
  readonly result: JsonObject;
  /** Its VMM is not there yet. */
  readonly isNew: boolean;
}

export class CniNetworks implements CniRoom {
  readonly #options: CniOptions;
  readonly #ground: CniGround;
  readonly #runtime: CniRuntime;
  readonly #records: RecordFiles<CniRecord>;
  readonly #lock = new KeyedLock();
  readonly #frames = new CniFrames();

  constructor(options: CniOptions) {
    this.#options = options;
    this.#ground = new CniGround(options);
    this.#runtime = new CniRuntime({ ...options, prefix: async () => (await this.#ground.ensure()).prefix });
    this.#records = cniRecords(options.dataRoot);
  }

  async list(): Promise<readonly CniListing[]> {
    const found = await findConflists(this.#options.configs);
    const refusal = await this.#ground.refusal();
    return Promise.all(found.map((each) => this.#listing(each, refusal)));
  }

  /** @param refusal of all of them */
  async #listing({ path, network }: FoundConflist, refusal: string | undefined): Promise<CniListing> {
    if (network instanceof KilnError) return { name: "", path, plugins: [], flaw: network.message };
    const lacking = this.#runtime.requirePlugins(network).then(
      () => "",
      (error: unknown) => KilnError.from(error).message,
    );
    const plugins = network.plugins.map(({ type }) => type);
    return { name: network.name, path, plugins, flaw: refusal ?? (await lacking) };
  }

  keeping(): Promise<CniKeeping> {
    return this.#frames.look();
  }

  async require(name: string, egress: EgressPolicy): Promise<void> {
    await this.#find(name);
    await programs();
    await this.#frames.require(name, egress);
  }

  async join(card: CniCard): Promise<CniJoined> {
    const network = await this.#find(card.network);
    const found = await programs();
    return this.#joining(card, async () => {
      // Of an earlier run whose plugins would not let go of it.
      await this.#remove(card);
      const plain = { ...card, wish: [] };
      if (card.wish === undefined || card.wish.length === 0 || ipsOf(plain).length > 0)
        return this.#try(plain, network, found);
      return this.#try(card, network, found).catch((error: unknown) => {
        if (hasReason(error, "cni-failed")) return this.#try(plain, network, found);
        throw error;
      });
    });
  }

  /** What is removed of a network is not what somebody is just being given. */
  #joining<T>(card: CniCard, work: () => Promise<T>): Promise<T> {
    const join = () => this.#lock.run(keyOf(card), work);
    const isAlone = this.#options.alone?.includes(card.network) === true;
    return this.#during(() => (isAlone ? this.#lock.run(`all of ${card.network}`, join) : join()));
  }

  /** What plugins run in does not end meanwhile, and afterwards where nothing of theirs is left. */
  async #during<T>(work: () => Promise<T>): Promise<T> {
    const isEmpty = async () =>
      (await this.#records.ids()).length === 0 && (await helperIds(this.#options.directory)).length === 0;
    try {
      return await this.#ground.within(work);
    } finally {
      await this.#ground.endUnused(isEmpty);
    }
  }

  /** Where it fails, nothing is left. */
  async #try(card: CniCard, network: CniNetwork, found: CniPrograms): Promise<CniJoined> {
    await this.#keep(card, network, null, null);
    failpoint("cni.recorded");
    try {
      return await this.#add(card, network, found);
    } catch (error) {
      await this.#remove(card).catch((failure: unknown) => {
        throw withBoth(error, failure);
      });
      throw error;
    }
  }

  async #add(card: CniCard, network: CniNetwork, { ip, tc }: CniPrograms): Promise<CniJoined> {
    const { directory, environment = {} } = this.#options;
    const place = await this.#ground.ensure();
    const holder = await holdNamespace(place, holderRecord(directory, card), environment);
    failpoint("cni.held");
    const attachment = { ...attachmentOf(card), netns: namespacePath(holder) };
    const result = await this.#runtime.add(network, attachment, async (each) => {
      failpoint("cni.added");
      await this.#keep(card, network, each, null);
      failpoint("cni.joined");
    });
    const link = await lookInside(ip, holder, attachment.ifName);
    requireGiven(card, link);
    await this.#keep(card, network, result, link);
    failpoint("cni.linked");
    return this.#joined(card, { ip, tc }, { place, holder, link, result, isNew: true });
  }

  /** The guest is answered from before there is its tap. */
  async #joined(card: CniCard, { ip, tc }: CniPrograms, given: Given): Promise<CniJoined> {
    const { place, holder, link, result, isNew } = given;
    const { lease, environment = {} } = this.#options;
    const [name, ifName] = [tapName(card.vmId, card.index), ifNameOf(card)];
    const bwrap = await findProgram(this.#options.bwrap ?? "bwrap");
    const isAnswered = card.lease !== undefined && bwrap !== undefined;
    const answered = isAnswered ? answeredFamilies(link) : "";
    const { dns, ...rest } = joinedOf(link, result, place.upstream);
    const frames = { tap: name, link: ifName, ...link, resolvers: dns.servers, answered };
    const egress = card.egress ?? { kind: "all" };
    const file = this.#rules(card);
    // A VM that runs has them already, and nobody makes its tap again.
    const rules = isNew ? await this.#frames.write(file, card.network, { ...frames, egress }) : undefined;
    const isHeld = egress.kind !== "all";
    const plan = { tap: this.#options.tap, tc, holder, name, ifName, mtu: link.mtu };
    const joined = { ...rest, dns, card: cniDescriptorCard({ ...plan, answered, isHeld, rules }) };
    if (card.lease !== undefined && bwrap !== undefined)
      await answer(
        {
          ...{ directory: this.#leases(card), bwrap, lease, environment, ip },
          ...{ outside: place.prefix, prefix: within(holder), network: card.network, tap: name, ifName },
        },
        joined,
        card.lease,
      );
    return joined;
  }

  leave(card: CniKey): Promise<void> {
    return this.#during(() => this.#lock.run(keyOf(card), () => this.#remove(card)));
  }

  adopt(card: CniCard): Promise<CniJoined> {
    return this.#during(() => this.#adopt(card));
  }

  async #adopt(card: CniCard): Promise<CniJoined> {
    const found = await programs();
    const { result, holder } = await this.#live(card);
    // Told, and no more: the CHECK of some plugins is wrong, and the VM runs.
    await this.check(card).catch((error: unknown) => this.#options.tell?.(KilnError.from(error).message));
    const link = await lookInside(found.ip, holder, ifNameOf(card));
    // Its way out may have died.
    const place = await this.#ground.ensure();
    return this.#joined(card, found, { place, holder, link, result, isNew: false });
  }

  async recall(key: CniKey): Promise<CniJoined | undefined> {
    const record = await readRecord(this.#records, keyOf(key));
    if (record === undefined || record.link === null) return undefined;
    const card: DescriptorCard = { kind: "descriptor", around: (argv) => [...argv] };
    const others = (await this.#ground.find())?.upstream ?? [];
    return { ...joinedOf(record.link, record.result ?? {}, others), card };
  }

  async counters(key: CniKey): Promise<CardCounters> {
    const holder = await holderOf(this.#removing, key);
    return holder === undefined ? { denied: 0, forged: 0 } : this.#frames.counters(within(holder));
  }

  /** Asks the plugins whether all is as they have left it. @throws KilnError `cni-failed` with a plugin's words; `cni-lost` */
  async check(key: CniKey): Promise<void> {
    const { record, result, holder } = await this.#live(key);
    const attachment = recorded(key, record, holder);
    await this.#runtime.check(networkOf(record), attachment, result);
  }

  async #live(key: CniKey): Promise<{ record: CniRecord; result: JsonObject; holder: number }> {
    const record = await readRecord(this.#records, keyOf(key));
    const holder = await holderOf(this.#removing, key);
    const result = record?.result ?? undefined;
    if (record === undefined || result === undefined || holder === undefined) throw lost(key);
    return { record, result, holder };
  }

  sweep(inUse: readonly CniKey[]): Promise<void> {
    return this.#during(() => this.#sweep(inUse));
  }

  async #sweep(inUse: readonly CniKey[]): Promise<void> {
    const used = new Set(inUse.map(keyOf));
    const holders = await helperIds(this.#options.directory);
    const all = new Set([...(await this.#records.ids()), ...holders]);
    const unused = [...all].filter((id) => !used.has(id));
    const end = async (id: string) => {
      const [vmId = "", index = ""] = id.split("-");
      await endOrphans(vmId, this.#options.plugins);
      await this.leave({ vmId, index: Number(index) });
    };
    const steps = [() => each(unused, end), () => this.#records.sweep(), () => this.collect()];
    await each(steps, (step) => step());
  }

  async collect(): Promise<void> {
    // Plugins of a place that is not there know of nobody.
    if ((await this.#ground.find()) === undefined) return;
    const deps = { configs: this.#options.configs, runtime: this.#runtime, records: this.#records };
    await each(this.#options.alone ?? [], (name) =>
      this.#lock.run(`all of ${name}`, () => collectGarbage(deps, name)),
    );
  }

  async #find(name: string): Promise<CniNetwork> {
    await this.#ground.require();
    const network = await findConflist(this.#options.configs, name);
    await this.#runtime.requirePlugins(network);
    return network;
  }

  /** Undone as far as it came: its record says what there may be. */
  async #remove(key: CniKey): Promise<void> {
    const id = keyOf(key);
    const record = await readRecord(this.#records, id);
    await answerNoMore(this.#leases(key));
    if (record !== undefined) {
      await deleteCard(this.#removing, key, record);
      failpoint("cni.deleted");
      // First: with a link that is made up DEL is not to be done twice.
      await this.#records.remove(id);
      failpoint("cni.forgotten");
    }
    await this.#frames.forget(this.#rules(key));
    // Last: by it what is left is found.
    await endNamespace(holderRecord(this.#options.directory, key));
  }

  async #keep(
    card: CniCard,
    network: CniNetwork,
    result: JsonObject | null,
    link: CniLink | null,
  ): Promise<void> {
    const { vmId, vmName } = card;
    const { mac, ips } = attachmentOf(card);
    await makeDirectory(join(this.#options.dataRoot, "cni"));
    await makeDirectory(this.#options.directory);
    await this.#records.save(
      keyOf(card),
      {
        ...{ version: 1, vmId, vmName, ifName: ifNameOf(card), mac, ips: [...ips] },
        ...{ network: networkJson(network), result },
        link: link === null ? null : { ...link, addresses: [...link.addresses] },
        // A power cut leaves nothing of what plugins have answered but what DEL finds by the id.
      },
      { durable: result === null },
    );
  }

  get #removing() {
    const { directory, environment = {}, tell } = this.#options;
    return { ground: this.#ground, runtime: this.#runtime, directory, environment, tell };
  }

  #leases(key: CniKey): string {
    return join(this.#options.directory, `${keyOf(key)}.leases`);
  }

  #rules(key: CniKey): string {
    return join(this.#options.directory, `${keyOf(key)}.nft`);
  }
}

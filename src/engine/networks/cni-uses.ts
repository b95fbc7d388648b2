// What VMs have of CNI networks at this moment. Which addresses that are, only the plugins know: it is kept in memory while a VM
// runs, and read again by the next kilnd.

import { type EgressPolicy, parseEgress } from "../../base/egress.js";
import { Code, KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { cniName } from "../../base/network-flag.js";
import type { CniCard, CniJoined, CniKey, CniRoom } from "../../net/types.js";
import { cardIndex } from "../vm/network-config.js";
import type { VmRecord } from "../vm/record.js";
import type { GivenAddresses } from "../vm/view.js";

interface Deps {
  readonly room: CniRoom | undefined;
  readonly log: Logger;
}

export class CniUses {
  /** Told when a VM has come to a network, or left one. */
  onChange: () => void = () => undefined;
  readonly #deps: Deps;
  readonly #joined = new Map<string, CniJoined>();
  /** Of VMs that ran when this kilnd began. */
  #running = new Map<string, CniKey>();
  #found: Promise<void> = Promise.resolve();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** That a VM with this policy could be put on it. @throws KilnError as `CniRoom.require`; failed_precondition `networks-not-ready` */
  require(network: string, egress: EgressPolicy): Promise<void> {
    return this.#room().require(network, egress);
  }

  /** @throws KilnError as `CniRoom.join` */
  async join(card: CniCard): Promise<CniJoined> {
    await this.#found;
    this.#running.delete(keyOf(card));
    const joined = await this.#room().join(card);
    this.#joined.set(keyOf(card), joined);
    this.onChange();
    return joined;
  }

  /** The VM has ended. Idempotent. @throws KilnError as `CniRoom.leave` */
  async leave(card: CniKey): Promise<void> {
    await this.#found;
    this.#joined.delete(keyOf(card));
    this.#running.delete(keyOf(card));
    this.onChange();
    await this.#room().leave(card);
  }

  /** The same of one that ran when this kilnd began, and was neither taken over nor started since. */
  async leaveIfRan(card: CniKey): Promise<void> {
    if (this.#running.has(keyOf(card))) await this.leave(card);
  }

  /** For a VM that runs. @throws KilnError as `CniRoom.adopt` */
  async adopt(card: CniCard): Promise<CniJoined> {
    await this.#found;
    const joined = await this.#room().adopt(card);
    this.#running.delete(keyOf(card));
    this.#joined.set(keyOf(card), joined);
    this.onChange();
    return joined;
  }

  /** What it was refused since its VM began; 0 of one whose VM does not run. @throws KilnError as `CniRoom.counters` */
  async denied(card: CniKey): Promise<number> {
    if (!this.#joined.has(keyOf(card))) return 0;
    return (await this.#room().counters(card)).denied;
  }

  /** Undefined of one whose VM does not run, or is not taken over yet. */
  joinedOf(card: CniKey): CniJoined | undefined {
    return this.#joined.get(keyOf(card));
  }

  /** Reads what VMs that run have. What can't be read is known once the VM is taken over. */
  async recall(running: readonly CniCard[]): Promise<void> {
    for (const card of running) {
      const recalled = await this.#deps.room?.recall(card).catch(() => undefined);
      if (recalled !== undefined) this.#joined.set(keyOf(card), recalled);
    }
  }

  /** Removes what is left of VMs that do not run. What fails is logged, and tried again at the next start. */
  find(running: readonly CniCard[]): Promise<void> {
    this.#running = new Map(running.map((card) => [keyOf(card), card]));
    const swept = this.#deps.room?.sweep(running) ?? Promise.resolve();
    this.#found = swept.catch((error: unknown) => {
      this.#deps.log.warn("what VMs had of CNI networks can't be removed", {
        why: KilnError.from(error).message,
      });
    });
    return this.#found;
  }

  /** What no VM has, of networks that are kiln's alone, goes. @throws KilnError as `CniRoom.collect` */
  async collect(): Promise<void> {
    await this.#found;
    await this.#deps.room?.collect();
  }

  #room(): CniRoom {
    if (this.#deps.room !== undefined) return this.#deps.room;
    throw new KilnError(Code.FailedPrecondition, "this kilnd gives VMs no CNI networks", {
      reason: "networks-not-ready",
      hint: "use --network user",
    });
  }
}

/** What a VM has on CNI networks, in the order of its cards. Pure. */
export function cniCardsOf({ id, config }: Pick<VmRecord, "id" | "config">): CniCard[] {
  const egress = parseEgress(config.egress);
  return config.networks.flatMap((attachment, place) => {
    const { name, mac, ip, ip6 } = attachment;
    const [network, index] = [cniName(name), cardIndex(attachment, place)];
    if (network === undefined) return [];
    return [{ vmId: id, vmName: config.name, index, network, mac, ip, ip6, egress }];
  });
}

/** As it is shown. Pure. */
export function givenTo(joined: CniJoined | undefined): GivenAddresses | undefined {
  if (joined === undefined) return undefined;
  const { addresses, mac, gateway4, gateway6 } = joined;
  const first = (family: 4 | 6) => addresses.find((one) => one.includes(":") === (family === 6))?.split("/");
  const [ip = "", prefix = "0"] = first(4) ?? [];
  const [ip6 = "", prefix6 = "0"] = first(6) ?? [];
  return {
    ...{ ip, ip6, mac, gateway: gateway4, gateway6 },
    ...{ prefix: Number(prefix), prefix6: Number(prefix6) },
  };
}

function keyOf({ vmId, index }: CniKey): string {
  return `${vmId}-${index}`;
}

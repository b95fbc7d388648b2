// Which cards on named networks are in use when kilnd starts.

import { KilnError } from "../../base/errors.js";
import type { CniCard } from "../../net/types.js";
import { portsOfRunning } from "../attach/ports.js";
import { cniCardsOf } from "../networks/cni-uses.js";
import { leasedCards } from "../networks/lease-settings.js";
import { type CardPlace, cardsOf } from "../networks/network-uses.js";
import type { VmEntry } from "../vm/entry.js";
import { isLive } from "../vm/state.js";
import type { EngineContext } from "./context.js";

/** Those of VMs that run, and the ids of all VMs. */
export function cardsInUse({
  vms,
  networks,
}: Pick<EngineContext, "vms" | "networks">): [running: CardPlace[], vms: string[]] {
  const all = vms.list();
  const live = all.filter(({ state }) => isLive(state));
  const running = live.flatMap((entry) => runningCards(entry, networks));
  return [running, all.map(({ id }) => id)];
}

function runningCards(entry: VmEntry, networks: EngineContext["networks"]): CardPlace[] {
  const { record } = entry;
  const ports = record.config.publishMode === "nft" ? portsOfRunning(entry) : [];
  return leasedCards(record, networks).map((place) => ({ ...place, card: { ...place.card, ports } }));
}

/** The same of those on CNI networks. */
export function cniCardsInUse({ vms }: Pick<EngineContext, "vms">): CniCard[] {
  return vms
    .list()
    .filter(({ state }) => isLive(state))
    .flatMap(({ record }) => cniCardsOf(record));
}

/**
 * Takes VMs off their networks that have ended without being taken over, now or once they have: nothing was attached to them
 * that would do it.
 *
 * @param ran those that ran when this kilnd began, removed or not
 */
export async function leaveEnded(ctx: EngineContext, ran: readonly VmEntry[]): Promise<void> {
  for (const entry of ran) {
    if (entry.run === undefined) await leaveAll(ctx, entry);
    else void entry.run.ended.then(() => leaveAll(ctx, entry));
  }
}

/** Of one that was taken over nothing is left to do. */
async function leaveAll({ networkUses, cniUses, log }: EngineContext, entry: VmEntry): Promise<void> {
  const { name: vm, state, record } = entry;
  if (isLive(state)) return;
  const tell = (error: unknown) =>
    log.warn("a VM that has ended is still on a network", { vm, why: KilnError.from(error).message });
  for (const place of cardsOf(record)) await networkUses.leaveIfOn(place).catch(tell);
  for (const card of cniCardsOf(record)) await cniUses.leaveIfRan(card).catch(tell);
}

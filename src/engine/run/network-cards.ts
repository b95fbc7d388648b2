// Which cards on named networks are in use when kilnd starts.

import { KilnError } from "../../base/errors.js";
import { portsOfRunning } from "../attach/ports.js";
import { type CardPlace, cardsOf } from "../networks/network-uses.js";
import type { VmEntry } from "../vm/entry.js";
import { isLive } from "../vm/state.js";
import type { EngineContext } from "./context.js";

/** Those of VMs that run, and the ids of all VMs. */
export function cardsInUse({ vms }: Pick<EngineContext, "vms">): [running: CardPlace[], vms: string[]] {
  const all = vms.list();
  const running = all.filter(({ state }) => isLive(state)).flatMap(runningCards);
  return [running, all.map(({ id }) => id)];
}

function runningCards(entry: VmEntry): CardPlace[] {
  const { record } = entry;
  const ports = record.config.publishMode === "nft" ? portsOfRunning(entry) : [];
  return cardsOf(record).map((place) => ({ ...place, card: { ...place.card, ports } }));
}

/** Those whose VM had ended by the time that it was to be taken over: nothing was attached to it that would let go of them. */
export async function leaveEnded({ vms, networkUses, log }: EngineContext): Promise<void> {
  for (const { name, state, record } of vms.list()) {
    if (isLive(state)) continue;
    for (const place of cardsOf(record)) {
      await networkUses.leaveIfOn(place).catch((error: unknown) => {
        log.warn("a VM that has ended is still on a network", {
          vm: name,
          why: KilnError.from(error).message,
        });
      });
    }
  }
}

// The named networks of a new VM: found, kept from removal, and its addresses there chosen, until the VM's record has them.

import { parseEgress } from "../../base/egress.js";
import { Code, KilnError } from "../../base/errors.js";
import { cniName } from "../../base/network-flag.js";
import type { Keeping } from "../objects/lease-found.js";
import type { NetworkAttachment } from "../vm/network-config.js";
import { requireOnce } from "../vm/validate-networks.js";
import type { EngineContext } from "./context.js";

/**
 * The networks with their ids, and the VM's addresses there.
 *
 * @throws KilnError not_found `network-not-found`; invalid_argument `network-twice`, `bad-ip`; already_exists `ip-in-use`,
 *   `mac-in-use`; resource_exhausted `no-free-address`; as `requireNetworks` and `CniUses.require`
 */
export async function takeNetworks(
  ctx: EngineContext,
  vm: { readonly id: string; readonly name: string; readonly egress: string },
  wanted: readonly NetworkAttachment[],
  keeping: Keeping,
): Promise<NetworkAttachment[]> {
  if (wanted.some(({ name }) => cniName(name) === undefined)) await requireNetworks(ctx);
  const taken: NetworkAttachment[] = [];
  for (const attachment of wanted) {
    const cni = cniName(attachment.name);
    if (cni !== undefined) {
      await ctx.cniUses.require(cni, parseEgress(vm.egress));
      taken.push(attachment);
      continue;
    }
    const network = await ctx.networks.take(attachment.name, keeping);
    const { addresses, release } = ctx.networks.reserve(network, vm, attachment);
    keeping.leases.push("let go of addresses", release);
    taken.push({ ...attachment, ...addresses, name: network.name, networkId: network.id });
  }
  requireOnce(taken);
  return taken;
}

/**
 * What would be refused at a VM's start is refused now.
 *
 * @throws KilnError failed_precondition `networks-not-ready`, `no-bridge-network`
 */
async function requireNetworks({ rooms }: Pick<EngineContext, "rooms">): Promise<void> {
  if (rooms.bridges === undefined) {
    throw new KilnError(
      Code.FailedPrecondition,
      "VMs can't be put on named networks yet: this kilnd keeps networks, and has none to give",
      { reason: "networks-not-ready", hint: "use --network user" },
    );
  }
  const { usable, why } = await rooms.bridges.look();
  if (usable) return;
  throw new KilnError(Code.FailedPrecondition, `this host can have no named networks: ${why}`, {
    reason: "no-bridge-network",
    hint: "use --network user; `kiln doctor` says what is missing",
  });
}

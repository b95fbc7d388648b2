// Ports of a VM that are published by rules (--publish-mode nft): by which of its cards answers leave, and what is refused where
// there is none.

import { Code, KilnError } from "../../base/errors.js";
import { DEFAULT_HOST_IP } from "../../base/ports.js";
import { type CardPlace, cardsOf, type NetworkUses } from "../networks/network-uses.js";
import type { Networks } from "../networks/networks.js";
import type { VmRecord } from "../vm/record.js";
import type { PortBinding, VmConfig } from "../vm/vm-config.js";

/** What is done about one port beside listening at it. */
export interface PortRules {
  /** @throws KilnError failed_precondition `publish-mode-needs-network`; as `NetworkUses.publish` */
  publish(port: PortBinding): Promise<void>;
  unpublish(port: PortBinding): Promise<void>;
}

interface Needs {
  readonly networks: Pick<Networks, "get">;
  readonly networkUses: Pick<NetworkUses, "publish" | "unpublish">;
}

type Published = Pick<VmRecord, "id" | "config">;

/**
 * Undefined of a VM whose ports kilnd alone serves.
 *
 * @param vm its record is looked at each time: a VM may be put on networks while it runs
 */
export function portRulesOf(
  vm: { readonly record: Published },
  { networks, networkUses }: Needs,
): PortRules | undefined {
  if (vm.record.config.publishMode !== "nft") return undefined;
  const placeOf = (port: PortBinding) => requireWayIn(vm.record, port, networks);
  return {
    publish: (port) => networkUses.publish(placeOf(port), port),
    unpublish: (port) => networkUses.unpublish(placeOf(port), port),
  };
}

/**
 * The card by which a guest answers who comes from outside: its way out (attach/bridge-card.ts).
 *
 * @throws KilnError failed_precondition `publish-mode-needs-network`
 */
export function requireWayIn(
  record: Published,
  port: PortBinding,
  networks: Pick<Networks, "get">,
): CardPlace {
  const is4 = !(port.hostIp || DEFAULT_HOST_IP).includes(":");
  const found = cardsOf(record).find(({ networkId, card }) => {
    const isOut = networks.get(networkId)?.record.internal === false;
    return isOut && (is4 ? card.ip4 : card.ip6) !== undefined;
  });
  if (found !== undefined) return found;
  throw needsNetwork(
    `the VM has no address of IPv${is4 ? 4 : 6} on a network with a way out`,
    "put it on one with --network NAME, or leave --publish-mode out",
  );
}

/**
 * What can be refused before anything is made.
 *
 * @param publishes whether this kilnd can
 * @throws KilnError failed_precondition `publish-mode-needs-root`, `publish-mode-needs-network`
 */
export function requirePublishMode(config: PublishAsk, publishes: boolean): void {
  if (config.publishMode !== "nft") return;
  if (!publishes) {
    throw new KilnError(
      Code.FailedPrecondition,
      "ports are published by nft by root's kilnd alone: a user's networks are not the host's",
      {
        reason: "publish-mode-needs-root",
        hint: "leave --publish-mode out: kilnd listens, and dials into the VM",
      },
    );
  }
  if (config.networks.length === 0) {
    throw needsNetwork(
      "the VM is on no named network",
      "name one with --network NAME, or leave --publish-mode out",
    );
  }
  // Answers would leave by the user network, and reach nobody.
  if (config.network === "user") {
    throw needsNetwork("the VM's way out is the user network", "leave --network user out, or --publish-mode");
  }
}

type PublishAsk = Pick<VmConfig, "publishMode" | "network" | "networks">;

function needsNetwork(why: string, hint: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `publish ports by nft: ${why}`, {
    reason: "publish-mode-needs-network",
    hint,
  });
}

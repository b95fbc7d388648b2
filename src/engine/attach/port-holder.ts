// Which of this kilnd's VMs holds a port that can't be had: who is refused can free it, or choose another.

import { hasReason, KilnError } from "../../base/errors.js";
import { DEFAULT_HOST_IP, type PortMapping } from "../../base/ports.js";
import type { NetworkRoom } from "../common/rooms.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmRegistry } from "../vm/registry.js";

/** The room, with refusals of ports that name the VM which has them. */
export function namingHolders(network: NetworkRoom, vms: Pick<VmRegistry, "list">): NetworkRoom {
  return {
    ...network,
    publish: async (binding, guest) => {
      try {
        return await network.publish(binding, guest);
      } catch (error) {
        throw named(error, binding, vms.list());
      }
    },
  };
}

function named(error: unknown, binding: PortMapping, vms: readonly VmEntry[]): unknown {
  // Of a range nobody holds all.
  if (!hasReason(error, "port-in-use") || binding.hostPortEnd !== undefined) return error;
  const holder = vms.find(({ live }) => live?.ports.bindings.some((port) => meets(port, binding)) === true);
  if (holder === undefined) return error;
  const { code, message, reason, hint } = KilnError.from(error);
  return new KilnError(code, `${message}: VM ${holder.name} has it`, {
    ...{ reason, hint, cause: error },
    details: { holders: `vm ${holder.id}` },
  });
}

/** Whether the host can't have both. */
function meets(a: PortMapping, b: PortMapping): boolean {
  if (a.hostPort !== b.hostPort || a.protocol !== b.protocol) return false;
  // "::" is bound without IPv4.
  if (a.hostIp.includes(":") !== b.hostIp.includes(":")) return false;
  return a.hostIp === b.hostIp || isForAll(a) || isForAll(b);
}

function isForAll({ hostIp }: PortMapping): boolean {
  return hostIp === "" || hostIp === DEFAULT_HOST_IP || hostIp === "::";
}

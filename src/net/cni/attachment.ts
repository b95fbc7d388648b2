// A card as plugins know it: when it is added, and as it is on record after that.

import { join } from "node:path";
import { macFor } from "../../base/networks.js";
import type { CniCard, CniKey } from "../types.js";
import { ipsOf } from "./given.js";
import { namespacePath } from "./namespace.js";
import type { CniAttachment } from "./plan-call.js";
import { type CniRecord, recordId } from "./record.js";

/** Of its record, and of all that is kept of it. */
export function keyOf({ vmId, index }: CniKey): string {
  return recordId(vmId, index);
}

/** With the VM's id it is nobody else's, whatever networks the VM is on. */
export function ifNameOf({ index }: CniKey): string {
  return `eth${index}`;
}

/** Of the process that has its namespace. @param directory private to kilnd, for a boot of the host */
export function holderRecord(directory: string, key: CniKey): string {
  return join(directory, `${keyOf(key)}.json`);
}

export function attachmentOf(card: CniCard): CniAttachment {
  const { vmId } = card;
  // The same after every start, of plugins that take one.
  const mac = card.mac || macFor(vmId, `cni:${card.network}`);
  return {
    ...{ containerId: vmId, ifName: ifNameOf(card), netns: "", mac },
    ...{ ips: ipsOf(card).length > 0 ? ipsOf(card) : (card.wish ?? []), capabilities: {} },
  };
}

/** @param holder undefined where its namespace has gone */
export function recorded(key: CniKey, { mac, ips }: CniRecord, holder: number | undefined): CniAttachment {
  return {
    ...{ containerId: key.vmId, ifName: ifNameOf(key), mac, ips, capabilities: {} },
    netns: holder === undefined ? "" : namespacePath(holder),
  };
}

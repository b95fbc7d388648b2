// Networks as a noun: their verbs, and VMs put on them and taken off.

import { Code, KilnError } from "../../base/errors.js";
import { cniName } from "../../base/network-flag.js";
import { matchesNetwork, NETWORK_FILTERS, parseFilters } from "../common/filters.js";
import { cniViews } from "../networks/cni-views.js";
import { NetworkVerbs, type NetworkView } from "../networks/network-verbs.js";
import type { ConnectVerbs } from "../run/connect-verbs.js";
import type { EngineContext } from "../run/context.js";
import type { NetworkAttachment } from "../vm/network-config.js";

export class Networks extends NetworkVerbs {
  readonly #ctx: EngineContext;
  readonly #verbs: ConnectVerbs;

  constructor(ctx: EngineContext, verbs: ConnectVerbs) {
    super(ctx);
    this.#ctx = ctx;
    this.#verbs = verbs;
  }

  /** As `list`, and the CNI networks that this host describes: they are nobody's to make or remove here, and have no id. */
  async listAll(filters: readonly string[] = []): Promise<NetworkView[]> {
    const parsed = parseFilters("networks", filters, NETWORK_FILTERS);
    const now = this.#ctx.now();
    const isWanted = (view: NetworkView) =>
      matchesNetwork({ ...view, isDangling: view.members.length === 0 }, parsed, now);
    return [...this.list(filters), ...(await cniViews(this.#ctx)).filter(isWanted)];
  }

  /** As `find`, and "cni:NAME". @throws KilnError not_found `network-not-found` */
  async show(key: string): Promise<NetworkView> {
    const found = (await cniViews(this.#ctx)).find(({ name }) => name === key);
    return found ?? this.find(key);
  }

  /** See ConnectVerbs. @throws KilnError failed_precondition `cni-network` */
  async connect(key: string, vm: string, wanted: NetworkAttachment): Promise<NetworkView> {
    refuseCni(key);
    await this.#verbs.connect(this.#ctx.networks.find(key), this.#ctx.vms.find(vm), wanted);
    return this.find(key);
  }

  async disconnect(key: string, vm: string): Promise<void> {
    refuseCni(key);
    await this.#verbs.disconnect(this.#ctx.networks.find(key), this.#ctx.vms.find(vm));
  }
}

/** It is said when a VM is made which it has of them. */
function refuseCni(key: string): void {
  if (cniName(key) === undefined) return;
  throw new KilnError(Code.FailedPrecondition, `no VM can be put on ${key} or taken off it once it is made`, {
    reason: "cni-network",
    hint: `make the VM with --network ${key}`,
  });
}

// Networks as a noun: their verbs, and VMs put on them and taken off.

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

  /** See ConnectVerbs. */
  async connect(key: string, vm: string, wanted: NetworkAttachment): Promise<NetworkView> {
    await this.#verbs.connect(this.#ctx.networks.find(key), this.#ctx.vms.find(vm), wanted);
    return this.find(key);
  }

  async disconnect(key: string, vm: string): Promise<void> {
    await this.#verbs.disconnect(this.#ctx.networks.find(key), this.#ctx.vms.find(vm));
  }
}

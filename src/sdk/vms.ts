// `kiln.vms`: VMs that are there, as handles that do not own them.

import type { CreateVmResponseJson } from "../gen/kiln/v1/vm_pb.js";
import { noVm } from "./call-failure.js";
import { progressFromJson, vmFromJson } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions } from "./known-options.js";
import { Listing } from "./listing.js";
import { readStats, type StatsOptions, type StatsSample } from "./stats.js";
import type { Transport } from "./transport.js";
import type { Progress, VmInfo } from "./types.js";
import { Vm } from "./vm.js";
import { type ListVmsOptions, requestVms } from "./vm-list.js";
import {
  type CreateOptions,
  planVmConfig,
  type RunOptions,
  VM_OPTIONS,
  type VmOptions,
} from "./vm-options.js";

/** The VMs of one kilnd. */
export class Vms {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * A handle on a VM by id, unique id prefix, or name.
   *
   * ```ts
   * const vm = await kiln.vms.get("web");
   * await vm.stop({ graceMs: 30_000 });
   * ```
   *
   * @throws KilnError not_found `vm-not-found`, invalid_argument `ambiguous-id`
   */
  async get(key: string, options: CallOptions = {}): Promise<Vm> {
    checkOptions("kiln.vms.get()", options, CALL);
    const { vm } = await this.#transport.unary("VmService/GetVm", { vm: key }, options);
    return new Vm(this.#transport, vmFromJson(vm), false);
  }

  /** A handle without asking kilnd: the first verb finds out whether there is such a VM. */
  ref(key: string): Vm {
    return new Vm(this.#transport, vmFromJson({ id: key, name: key }), false);
  }

  /**
   * What the VMs are now. Await it for an array, or iterate it.
   *
   * ```ts
   * for await (const { name, status } of kiln.vms.list({ all: true })) console.log(name, status.state);
   * ```
   */
  list(options: ListVmsOptions = {}): Listing<VmInfo> {
    return new Listing(() => requestVms(this.#transport, options));
  }

  /** Makes a VM without starting it. Pulls the image where it is missing. */
  async create(image: string, options: CreateOptions = {}): Promise<Vm> {
    checkOptions(`create a VM of ${image}`, options, VM_OPTIONS);
    return new Vm(this.#transport, await this.#create(image, options), false);
  }

  /** Makes a VM and starts it; the handle owns it. See `Kiln.run()`. */
  async run(image: string, options: RunOptions = {}): Promise<Vm> {
    checkOptions(`run ${image}`, options, VM_OPTIONS);
    const vm = new Vm(this.#transport, await this.#create(image, options), true);
    try {
      await vm.start({ signal: options.signal, timeoutMs: options.timeoutMs });
      return vm;
    } catch (error) {
      await vm.close().catch(() => undefined); // why it could not start is what the caller must hear
      throw error;
    }
  }

  /** What these VMs use (none named: all that run), a sample a second. */
  stats(vms: readonly string[] = [], options: StatsOptions = {}): AsyncGenerator<StatsSample, void> {
    return readStats(this.#transport, vms, options);
  }

  async #create(image: string, options: VmOptions): Promise<VmInfo> {
    const request = { config: planVmConfig(image, options), pull: options.pull ?? "missing" };
    let made: VmInfo | undefined;
    for await (const message of this.#transport.serverStream("VmService/CreateVm", request, options)) {
      report(message, options.onProgress);
      if (message.vm !== undefined) made = vmFromJson(message.vm);
    }
    if (made !== undefined) return made;
    throw noVm(`create a VM of ${image}`);
  }
}

function report(message: CreateVmResponseJson, onProgress: ((progress: Progress) => void) | undefined): void {
  if (message.progress !== undefined) onProgress?.(progressFromJson(message.progress));
}

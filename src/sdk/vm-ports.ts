// `vm.ports`: ports published at create, or later on a running VM.

import { Code, KilnError } from "../base/errors.js";
import { DEFAULT_HOST_IP } from "../base/ports.js";
import { portFromJson, vmFromJson } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions } from "./known-options.js";
import type { Calls } from "./scoped-calls.js";
import type { PortBinding } from "./types.js";
import { planPorts } from "./vm-options.js";

/** The published ports of one VM. */
export class VmPorts {
  readonly #transport: Calls;
  readonly #vm: string;
  readonly #onChange: (ports: readonly PortBinding[]) => void;

  /** @param onChange told what is bound whenever that is known anew */
  constructor(transport: Calls, vm: string, onChange: (ports: readonly PortBinding[]) => void) {
    this.#transport = transport;
    this.#vm = vm;
    this.#onChange = onChange;
  }

  /** As bound now. */
  async list(options: CallOptions = {}): Promise<readonly PortBinding[]> {
    checkOptions("vm.ports.list()", options, CALL);
    const { vm } = await this.#transport.unary("VmService/GetVm", { vm: this.#vm }, options);
    const { ports } = vmFromJson(vm).status;
    this.#onChange(ports);
    return ports;
  }

  /**
   * Publishes "8080:80", or every port of a range; gives the bindings with the ports that were chosen.
   * Where one port of several cannot be bound, those before it are given back.
   *
   * ```ts
   * const [{ hostPort }] = await vm.ports.add("127.0.0.1::80");
   * ```
   */
  async add(port: string | Partial<PortBinding>, options: CallOptions = {}): Promise<readonly PortBinding[]> {
    checkOptions("vm.ports.add()", options, CALL);
    const bound: PortBinding[] = [];
    try {
      for (const each of planPorts(port)) {
        const json = await this.#transport.unary("VmService/AddPort", { vm: this.#vm, port: each }, options);
        bound.push(portFromJson(json.port));
      }
    } catch (error) {
      for (const each of bound) await this.#remove(each, {}).catch(() => undefined); // the first failure is the one to tell
      throw error;
    }
    await this.list(options);
    return bound;
  }

  /**
   * Ends publications: of "8080:80" that one, of "80" every one of the VM's port 80.
   *
   * @throws KilnError not_found `port-not-published`
   */
  async remove(port: string | Partial<PortBinding>, options: CallOptions = {}): Promise<void> {
    checkOptions("vm.ports.remove()", options, CALL);
    const bound = await this.list(options);
    for (const wanted of planPorts(port)) {
      const matching = bound.filter((each) => isMeant(each, wanted));
      if (matching.length === 0) throw notPublished(this.#vm, wanted);
      for (const each of matching) await this.#remove(each, options);
    }
    await this.list(options);
  }

  async #remove(port: PortBinding, options: CallOptions): Promise<void> {
    await this.#transport.unary("VmService/RemovePort", { vm: this.#vm, port }, options);
  }
}

/** An address or a host port that was not named may be any. */
function isMeant(bound: PortBinding, wanted: PortBinding): boolean {
  const { hostPort: first, hostPortEnd: last = first } = wanted;
  const anyIp = wanted.hostIp === "" || wanted.hostIp === DEFAULT_HOST_IP;
  return (
    bound.vmPort === wanted.vmPort &&
    bound.protocol === wanted.protocol &&
    (first === 0 || (first <= bound.hostPort && bound.hostPort <= last)) &&
    (anyIp || bound.hostIp === wanted.hostIp)
  );
}

function notPublished(vm: string, { vmPort, hostPort, protocol }: PortBinding): KilnError {
  const shown = `${hostPort === 0 ? "" : `${hostPort}:`}${vmPort}/${protocol}`;
  return new KilnError(Code.NotFound, `unpublish ${shown} of VM ${vm}: it is not published`, {
    reason: "port-not-published",
    hint: `see what is: kiln port ${vm}`,
  });
}

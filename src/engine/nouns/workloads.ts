// The programs that `exec -d` has started as a noun: a VM's key and a program's in, views out. They need nobody to
// attend to them.

import type { LogChunk } from "../output/vm-log.js";
import type { VmEntry } from "../vm/entry.js";
import type { VmRegistry } from "../vm/registry.js";
import type { WorkloadVerbs } from "../workload/verbs.js";
import { WorkloadView } from "../workload/view.js";
import type { LogsAsk } from "../workload/vm-output.js";

/**
 * Each is named by its VM's key and its own full id or unique id prefix. Every verb throws KilnError not_found
 * `vm-not-found` or `exec-not-found` where there is none.
 */
export class Workloads {
  readonly #vms: Pick<VmRegistry, "find">;
  readonly #verbs: WorkloadVerbs;

  constructor(vms: Pick<VmRegistry, "find">, verbs: WorkloadVerbs) {
    this.#vms = vms;
    this.#verbs = verbs;
  }

  /** @param all false: only those that are not over */
  list(vm: string, all: boolean): WorkloadView[] {
    const entry = this.#vm(vm);
    return this.#verbs.list(entry, all).map((each) => new WorkloadView(entry, each));
  }

  find(vm: string, key: string): WorkloadView {
    const entry = this.#vm(vm);
    return new WorkloadView(entry, this.#verbs.find(entry, key));
  }

  /** The program's output, also after its end. */
  logs(vm: string, key: string, ask: LogsAsk): AsyncGenerator<LogChunk> {
    return this.#verbs.logs(this.#vm(vm), key, ask);
  }

  /** Resolves once it is over, whatever its policy does meanwhile. */
  async wait(vm: string, key: string, signal?: AbortSignal): Promise<WorkloadView> {
    const entry = this.#vm(vm);
    return new WorkloadView(entry, await this.#verbs.wait(entry, key, signal));
  }

  /** KILL and TERM end it for good. @param name empty: KILL */
  async signal(vm: string, key: string, name: string, caller?: AbortSignal): Promise<void> {
    await this.#verbs.signal(this.#vm(vm), key, name, caller);
  }

  /** Takes one away, with its log. @param force kills it where it runs */
  async remove(vm: string, key: string, force: boolean, caller?: AbortSignal): Promise<WorkloadView> {
    const entry = this.#vm(vm);
    return new WorkloadView(entry, await this.#verbs.remove(entry, key, force, caller));
  }

  #vm(key: string): VmEntry {
    return this.#vms.find(key);
  }
}

// What this host has for a VM under QEMU: the program and its accelerator, the tree of files for the jail. A start
// looks three times, and VMs that start together look at the same files each: so a good finding is kept for a moment.

import { realpath } from "node:fs/promises";
import { Recent } from "../../base/recent.js";
import { NO_NETWORK, type UserNetworkLook } from "../cards.js";
import { EMULATED_CPU_LEVEL, hostCpuLevel } from "../cpu-level.js";
import type { Confiner } from "../jail/confiner.js";
import type { JailTree } from "../jail/plan.js";
import type { Trees } from "../jail/tree.js";
import { bootInJail } from "../jailed-boot.js";
import { KVM_DEVICE, type ProbeKernel } from "../kvm-verdict.js";
import { MAX_PORTS } from "../ports.js";
import type { Accelerator, VmmCapabilities, VmmProbe } from "../types.js";
import { MAX_VCPUS } from "./config.js";
import { MAX_DISKS } from "./disks.js";
import { MAX_HOT_CARDS } from "./hot-cards.js";
import { MAX_HOT_DISKS } from "./hot-disks.js";
import { planTestBoot, type QemuProbeOptions, QemuProber } from "./probe.js";
import { qemuTrees } from "./program-files.js";

const KEPT_MS = 1_000;
/** passt's own; QEMU's stream takes what the guest's card does. */
const CARD_MTU = 65_520;

/** What every VM under QEMU can count on. @param userNetwork whether something can be connected to its card */
export function qemuCapabilities(accelerator: Accelerator, userNetwork = true): VmmCapabilities {
  return {
    accelerator,
    channel: "virtio-serial",
    userNetwork,
    cards: "stream",
    networkCards: "descriptor",
    cardMtu: CARD_MTU,
    freePageReporting: true,
    poweroffExits: true,
    tellsReboot: true,
    pause: true,
    maxPorts: MAX_PORTS,
    maxDisks: MAX_DISKS,
    hotplugDisks: MAX_HOT_DISKS,
    hotplugCards: MAX_HOT_CARDS,
    maxVcpus: MAX_VCPUS,
  };
}

export interface QemuLookOptions extends QemuProbeOptions {
  readonly userNetwork?: UserNetworkLook | undefined;
}

interface Finding {
  readonly probe: VmmProbe;
  /** Nothing that is under way, like the making of the first kernel, changes it. */
  readonly settled: boolean;
}

export class QemuLook {
  readonly #options: QemuLookOptions;
  readonly #confiner: Confiner;
  readonly #prober: QemuProber;
  readonly #trees = new Map<string, { readonly trees: Trees; readonly recent: Recent<JailTree> }>();
  readonly #found = new Recent<Finding>(KEPT_MS);

  constructor(options: QemuLookOptions, confiner: Confiner) {
    this.#options = options;
    this.#confiner = confiner;
    this.#prober = new QemuProber(options, (path, kernel) => this.#testBoot(path, kernel));
  }

  async probe(): Promise<VmmProbe> {
    const { probe } = await this.#found.get(
      () => this.#find(),
      ({ settled }) => settled,
    );
    return probe;
  }

  /** What is bound as /usr in a jail. @param program QEMU's real path */
  tree(program: string): Promise<JailTree> {
    const known = this.#trees.get(program) ?? {
      trees: qemuTrees(program, this.#options.cacheDirectory),
      recent: new Recent<JailTree>(KEPT_MS),
    };
    this.#trees.set(program, known);
    return known.recent.get(
      () => known.trees.getOrHost(),
      ({ exposed }) => exposed === undefined,
    );
  }

  async #find(): Promise<Finding> {
    const verdict = await this.#prober.probe();
    const { accelerator, found } = verdict;
    if (accelerator === undefined)
      return { probe: { kind: "qemu", usable: false, ...found }, settled: false };
    const { userNetwork = NO_NETWORK } = this.#options;
    const network = await userNetwork("stream");
    const capabilities = qemuCapabilities(accelerator, network.usable);
    const why = `${found.why}; ${network.why}`;
    const cpuLevel = accelerator === "kvm" ? await hostCpuLevel() : EMULATED_CPU_LEVEL;
    const exposed = found.path && (await this.tree(await realpath(found.path))).exposed;
    return {
      probe: { kind: "qemu", usable: true, ...found, why, capabilities, cpuLevel, exposed },
      settled: verdict.settled && network.usable && exposed === undefined,
    };
  }

  async #testBoot(path: string, kernel: ProbeKernel) {
    const { cacheDirectory, kvmDevice = KVM_DEVICE } = this.#options;
    const program = await realpath(path);
    return bootInJail({
      ...{ confiner: this.#confiner, driver: "qemu", program, cacheDirectory },
      tree: () => this.tree(program),
      ...{ device: kvmDevice, otherDevices: [] },
      plan: async () => planTestBoot(program, kernel),
    });
  }
}

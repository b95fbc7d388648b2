// The real rooms, wired for the engine. The only place that knows how each room's door is called.

import { join } from "node:path";
import { openSession, pumpLogs } from "../agent/index.js";
import type { Logger } from "../base/log.js";
import type { PortMapping } from "../base/ports.js";
import { buildDiskFromDirectory, checkCow, createCow, createEmptyDisk } from "../disk/index.js";
import { createImageStore, type ImageLimits, mergeLayers, parseImageSource } from "../image/index.js";
import { createKernelBuilder, createKernelCatalogue } from "../kernel/index.js";
import type { KernelCatalogue } from "../kernel/types.js";
import {
  BridgeNetworks,
  CniNetworks,
  type GuestWishes,
  planUserNetwork,
  publishPort,
  readHostDns,
  UserNetworks,
  userCard,
} from "../net/index.js";
import { createVmms, type ProbeKernel } from "../vmm/index.js";
import type { BuildLimits } from "./common/base-protocol.js";
import type { AgentRoom, GuestDialer, NetworkRoom, Rooms } from "./common/rooms.js";
import { createBaseBuilder } from "./disks/base-builder.js";
import { createShareRoom } from "./share-room.js";

/** Of one plugin's call: some wait for a lock of iptables, or for an address that somebody else gives. */
const CNI_TIMEOUT_MS = 60_000;

/** Where the rooms find files, programs and limits. */
export interface RoomOptions {
  readonly dataRoot: string;
  readonly runRoot: string;
  readonly configRoot: string;
  /** Existing: verdicts that cost time. */
  readonly cacheDirectory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  readonly agentPath: string;
  /** Directory of the kernel's configuration. */
  readonly kernelFragments: string;
  readonly netguard: string;
  readonly passt: string;
  /** kiln-share's path. */
  readonly shareServer: string;
  readonly qemu: string | undefined;
  /** Directories of .conflist files, and of the plugins that they name. */
  readonly cniConfigs: readonly string[];
  readonly cniPlugins: readonly string[];
  /** Names of those that are this kilnd's alone. */
  readonly cniAlone: readonly string[];
  /** Paths of `kiln-tap` and `kiln-lease`. */
  readonly tap: string;
  readonly lease: string;
  /** Path of `kiln-sendfd`. */
  readonly sendfd: string;
  readonly firecracker: string | undefined;
  readonly jailer: string | undefined;
  readonly firecrackerFiles: readonly string[];
  readonly trustFirecracker: boolean;
  readonly bwrap: string | undefined;
  readonly allowUnconfined: boolean;
  readonly vmCgroup: string | undefined;
  /** Limits that are left out have the image room's defaults. */
  readonly pullLimits: Partial<ImageLimits>;
  readonly layerLimits: BuildLimits;
}

/** The real rooms. Nothing is opened yet: Engine.open does that. */
export function createRooms(options: RoomOptions): Rooms {
  const { dataRoot, configRoot, env, log, agentPath, pullLimits, layerLimits } = options;
  const kernels = createKernelCatalogue({ dataRoot, log });
  const networks = new UserNetworks({ passt: options.passt, netguard: options.netguard });
  return {
    images: createImageStore({ dataRoot, configRoot, env, log, limits: pullLimits, layerLimits }),
    registryOf,
    kernels,
    kernelBuilder: createKernelBuilder({
      directory: join(options.cacheDirectory, "kernel-build"),
      fragments: options.kernelFragments,
      log,
    }),
    vmms: createVmms({
      cacheDirectory: options.cacheDirectory,
      userNetwork: (kind) => networks.look(kind),
      qemu: options.qemu,
      sendfd: options.sendfd,
      firecracker: options.firecracker,
      jailer: options.jailer,
      firecrackerFiles: options.firecrackerFiles,
      trustFirecracker: options.trustFirecracker,
      bwrap: options.bwrap,
      allowUnconfined: options.allowUnconfined,
      vmCgroup: options.vmCgroup,
      probeKernel: () => probeKernel(kernels, agentPath),
    }),
    agent: AGENT,
    network: networkRoom(networks),
    bridges: new BridgeNetworks({
      ...{ directory: join(options.runRoot, "networks"), tap: options.tap, lease: options.lease },
      bwrap: options.bwrap,
      ...{ passt: () => networks.passt(), netguard: options.netguard },
      tell: (why) => log.error("a network can't be mended", { why }),
      tellMended: (network, lost) =>
        log.warn("others had taken away rules or links of a network: they are there again", {
          network,
          lost,
        }),
    }),
    cni: new CniNetworks({
      ...{ configs: options.cniConfigs, plugins: options.cniPlugins, timeoutMs: CNI_TIMEOUT_MS },
      alone: options.cniAlone,
      ...{ dataRoot, directory: join(options.runRoot, "networks", "cni"), tap: options.tap },
      ...{ lease: options.lease, bwrap: options.bwrap },
      ...{ passt: () => networks.passt(), netguard: options.netguard },
      tell: (why) => log.warn("a CNI plugin finds something wrong", { why }),
    }),
    shares: createShareRoom(options.shareServer),
    disks: { createCow, checkCow, createEmpty: createEmptyDisk, buildFromDirectory: buildDiskFromDirectory },
    buildBase: createBaseBuilder(),
    mergeLayers,
    agentPath,
  };
}

/** "" for an image that no registry brings. */
function registryOf(reference: string): string {
  const source = parseImageSource(reference);
  return source.kind === "registry" ? source.reference.registry : "";
}

const AGENT: AgentRoom = { openSession, pumpLogs };

/** The network without what is outside of VMMs. */
const NETWORK = {
  userCard,
  planUser: async (wishes: GuestWishes) => planUserNetwork(await readHostDns(), wishes),
  async publish(binding: PortMapping, guest: GuestDialer) {
    const port = await publishPort(binding, async (network, vmPort, options) =>
      (await guest.session(options)).net.dial({ network, port: vmPort }, options),
    );
    return { binding: port.mapping, close: () => port.close() };
  },
};

function networkRoom(networks: UserNetworks): NetworkRoom {
  return {
    ...NETWORK,
    connectUser: (connection) => networks.connect(connection),
    adoptUser: (connection) => networks.adopt(connection),
  };
}

/** What KVM's test boot boots: what VMs will. */
async function probeKernel(kernels: KernelCatalogue, agentPath: string): Promise<ProbeKernel | undefined> {
  const chosen = kernels.default();
  if (chosen === undefined) return undefined;
  return { vmlinux: chosen.kernel.vmlinux, initrd: await kernels.initramfs(chosen.kernel, agentPath) };
}

// runtime.v1.RuntimeService: what kilnd says of itself, beside its pods.

import type { ServiceImpl } from "@connectrpc/connect";
import { CgroupDriver, type RuntimeService } from "../gen/runtime/v1/api_pb.js";
import type { CriFacts } from "./facts.js";
import { createNoPods } from "./no-pods.js";

/** Of CRI's kubelet-facing side, which has had one version since 2020. */
const KUBELET_API_VERSION = "0.1.0";
const API_VERSION = "v1";
const NO_PODS = "kiln serves images to Kubernetes so far, and can't run pods";

export function createRuntimeService(facts: CriFacts): ServiceImpl<typeof RuntimeService> {
  return {
    ...createNoPods(),
    version: () => ({
      version: KUBELET_API_VERSION,
      runtimeName: "kiln",
      runtimeVersion: facts.version,
      runtimeApiVersion: API_VERSION,
    }),
    status: ({ verbose }) => ({
      // Said as it is: a node that is Ready is given pods.
      status: { conditions: ["RuntimeReady", "NetworkReady"].map(notReady) },
      features: {},
      info: verbose ? infoOf(facts) : {},
    }),
    // The kubelet makes a pod's cgroup as a path, whatever runs as init here.
    runtimeConfig: () => ({ linux: { cgroupDriver: CgroupDriver.CGROUPFS } }),
    // Which addresses pods get is the CNI network's to say.
    updateRuntimeConfig: () => ({}),
  };
}

function notReady(type: string) {
  return { type, status: false, reason: "PodsUnimplemented", message: NO_PODS };
}

function infoOf({ dataRoot, runRoot }: CriFacts): { config: string } {
  return { config: JSON.stringify({ rootDir: dataRoot, stateDir: runRoot }) };
}

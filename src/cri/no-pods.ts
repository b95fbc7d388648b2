// The calls about pods while kiln has none. Lists are empty, what is named is not here, and what has to be gone is gone:
// all of it is true. Only what would make a pod, or can't say anything without one, is refused as unimplemented.

import type { ServiceImpl } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";
import type { RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { unimplemented } from "./errors.js";

type Answered = "version" | "status" | "runtimeConfig" | "updateRuntimeConfig";

/** Every call but those that need no pod. */
export function createNoPods(): Omit<ServiceImpl<typeof RuntimeService>, Answered> {
  return { ...lists(), ...ends(), ...ofOnePod(), ...ofOneContainer(), ...refused() };
}

function lists() {
  async function* nothing() {
    // There is nothing to send.
  }
  return {
    listPodSandbox: () => ({}),
    listContainers: () => ({}),
    listContainerStats: () => ({}),
    listPodSandboxStats: () => ({}),
    listPodSandboxMetrics: () => ({}),
    streamPodSandboxes: nothing,
    streamContainers: nothing,
    streamContainerStats: nothing,
    streamPodSandboxStats: nothing,
    streamPodSandboxMetrics: nothing,
  };
}

/** They succeed for what nobody knows: the kubelet asks until nothing is left. */
function ends() {
  return {
    stopPodSandbox: () => ({}),
    removePodSandbox: () => ({}),
    stopContainer: () => ({}),
    removeContainer: () => ({}),
  };
}

function ofOnePod() {
  const unknown = ({ podSandboxId: id }: { readonly podSandboxId: string }): never => {
    throw new KilnError(Code.NotFound, `no such pod sandbox: ${id}`, { reason: "pod-not-found" });
  };
  return {
    podSandboxStatus: unknown,
    podSandboxStats: unknown,
    updatePodSandboxResources: unknown,
    createContainer: unknown,
    portForward: unknown,
  };
}

function ofOneContainer() {
  const unknown = ({ containerId: id }: { readonly containerId: string }): never => {
    throw new KilnError(Code.NotFound, `no such container: ${id}`, { reason: "container-not-found" });
  };
  return {
    startContainer: unknown,
    containerStatus: unknown,
    updateContainerResources: unknown,
    reopenContainerLog: unknown,
    execSync: unknown,
    exec: unknown,
    attach: unknown,
    containerStats: unknown,
  };
}

function refused() {
  const refuse = (what: string, hint?: string) => (): never => {
    throw unimplemented(what, hint);
  };
  return {
    runPodSandbox: refuse("run pods", "it serves images to Kubernetes so far"),
    listMetricDescriptors: refuse("give metrics of pods"),
    // biome-ignore lint/correctness/useYield: it refuses before the first event
    getContainerEvents: async function* (): AsyncGenerator<never> {
      throw unimplemented("tell of containers' events", "the kubelet asks for lists instead");
    },
    checkpointContainer: refuse("checkpoint containers"),
    checkpointPod: refuse("checkpoint pods"),
    restorePod: refuse("restore pods"),
  };
}

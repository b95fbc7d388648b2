// Which of critest's specs are run, and which of these don't pass yet, each with its cause. The count of the others is how far
// Kubernetes' side has come.

/** For --ginkgo.focus: groups of specs that need no pod, but for some of theirs. */
export const FOCUS = ["Image Manager", "Image Consistency", "Idempotence", "Runtime info"];

const NO_PODS = "pods don't run yet";

/** By the spec's full name. */
export const NOT_YET: ReadonlyMap<string, string> = new Map([
  [
    "[k8s.io] Image Manager public image with digest should be pulled and removed [Conformance]",
    "its image is of a digest that nobody here can make: out of reach without the internet, for every runtime",
  ],
  ["[k8s.io] Idempotence StopPodSandbox should not return an error if already stopped", NO_PODS],
  ["[k8s.io] Idempotence StopContainer should not return an error if already stopped", NO_PODS],
  [
    "[k8s.io] Runtime info runtime should support returning runtime info runtime should return runtime conditions [Conformance]",
    "a node that can't run pods says that it is not ready",
  ],
]);

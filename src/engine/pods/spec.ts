// What a pod is to be, in the engine's own words: what Kubernetes asks (runtime.v1.PodSandboxConfig), as far as kiln
// understands it. What it does not is kept beside it, byte for byte.

import type { PodLimits } from "./sizes.js";

export interface PodPort {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly podPort: number;
  readonly hostPort: number;
  /** "": every address of the host. */
  readonly hostIp: string;
}

/** resolv.conf. */
export interface PodDns {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** Users of the pod's that are others outside of it: the first `length` ids are those from `first` on. */
export interface PodUsers {
  readonly first: number;
  readonly length: number;
}

/** A pod as it is asked for. */
export interface PodSpec {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** Counts the sandboxes of one pod. */
  readonly attempt: number;
  /** "": the pod's name. */
  readonly hostname: string;
  /** On the host, absolute; "": nobody wants logs. */
  readonly logDirectory: string;
  /** Undefined: the host's. */
  readonly dns: PodDns | undefined;
  readonly ports: readonly PodPort[];
  readonly sysctls: Readonly<Record<string, string>>;
  /** "": the kubelet makes none. */
  readonly cgroupParent: string;
  readonly resources: PodLimits;
  readonly overhead: PodLimits;
  /** What annotations say of the VM's size. */
  readonly wished: Pick<PodLimits, "memoryBytes" | "cpus">;
  readonly users: PodUsers | undefined;
}

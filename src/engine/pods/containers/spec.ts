// What a container is to be, in the engine's own words: what Kubernetes asks (runtime.v1.ContainerConfig), with what the
// engine has made of it before (paths of the guest's, profiles that were read).

/** How mounts that are made later, on one side, show on the other. */
export type Propagation = "private" | "host-to-container" | "bidirectional";

/** Something of the pod's in a container's root. */
export interface ContainerMount {
  /** In the guest, where the pod has it. */
  readonly source: string;
  /** Absolute, in the container. */
  readonly target: string;
  readonly readOnly: boolean;
  /** Also what is mounted below the source. */
  readonly recursiveReadOnly: boolean;
  readonly propagation: Propagation;
  /** "noexec", "nodev", "nosuid" */
  readonly options: readonly string[];
}

/** A device of the guest's, shown in the container. */
export interface ContainerDevice {
  /** In the guest. */
  readonly source: string;
  readonly target: string;
  /** Of r, w and m. */
  readonly permissions: string;
}

export interface ContainerVariable {
  readonly name: string;
  /** Not always text. */
  readonly value: Uint8Array;
}

/** Limits; 0, "" and what is not there limit nothing. */
export interface ContainerResources {
  readonly cpuPeriodUs: number;
  readonly cpuQuotaUs: number;
  /** As cgroup version 1 has it: 2 to 262144. */
  readonly cpuShares: number;
  /** "0-2,4" */
  readonly cpus: string;
  readonly memoryNodes: string;
  readonly memoryBytes: number;
  /** Memory and swap together. */
  readonly memorySwapBytes: number;
  readonly oomScoreAdj: number;
  /** By page size: "2MB". */
  readonly hugePages: Readonly<Record<string, number>>;
  /** Files of cgroup version 2: they win over what is said otherwise. */
  readonly unified: Readonly<Record<string, string>>;
}

export interface ContainerUser {
  readonly uid?: number | undefined;
  /** Wins over a uid. */
  readonly name?: string | undefined;
  readonly gid?: number | undefined;
  readonly supplementalGroups: readonly number[];
  /** "merge": the groups that the image has the user in, as well. */
  readonly groupsPolicy: "merge" | "strict";
}

/** Names without CAP_, and "ALL". */
export interface CapabilityChanges {
  readonly add: readonly string[];
  readonly drop: readonly string[];
  readonly ambient: readonly string[];
}

/** Whose processes a container sees. */
export type PidNamespace =
  | { readonly kind: "own" }
  /** All of the guest's: it is the pod's own machine. */
  | { readonly kind: "guest" }
  /** The pod's, or another container's: /proc/PID/ns/pid in the guest. */
  | { readonly kind: "join"; readonly path: string };

export interface ContainerSecurity {
  readonly privileged: boolean;
  readonly user: ContainerUser;
  readonly capabilities: CapabilityChanges;
  readonly readOnlyRoot: boolean;
  readonly noNewPrivileges: boolean;
  readonly maskedPaths: readonly string[];
  readonly readOnlyPaths: readonly string[];
  readonly pid: PidNamespace;
  /** The `linux.seccomp` of an OCI configuration; undefined: unconfined. */
  readonly seccomp?: Readonly<Record<string, unknown>> | undefined;
}

/** A container as it is asked for. */
export interface ContainerSpec {
  /** In place of the image's entrypoint. */
  readonly command: readonly string[];
  /** In place of the image's command. */
  readonly args: readonly string[];
  readonly workdir: string;
  readonly env: readonly ContainerVariable[];
  readonly tty: boolean;
  readonly mounts: readonly ContainerMount[];
  readonly devices: readonly ContainerDevice[];
  readonly resources: ContainerResources;
  readonly security: ContainerSecurity;
}

// The part of the OCI runtime specification's config.json (config.md, config-linux.md) that kiln writes for crun.

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface OciCapabilities {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly permitted: readonly string[];
  readonly inheritable: readonly string[];
  readonly ambient: readonly string[];
}

export interface OciRlimit {
  /** "RLIMIT_NOFILE" */
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

export interface OciProcess {
  readonly terminal: boolean;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: OciCapabilities;
  readonly rlimits: readonly OciRlimit[];
  /** Left out where it is false: some runtimes take a false for a word about seccomp. */
  readonly noNewPrivileges?: true;
  readonly oomScoreAdj: number;
}

export interface OciNamespace {
  readonly type: "pid" | "mount" | "cgroup" | "network" | "ipc" | "uts" | "user";
  readonly path?: string;
}

export interface OciResources {
  readonly devices: readonly { readonly allow: boolean; readonly access: string }[];
  readonly memory: { readonly limit?: number; readonly swap?: number };
  readonly cpu: {
    readonly quota?: number;
    readonly period?: number;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly hugepageLimits: readonly { readonly pageSize: string; readonly limit: number }[];
  readonly unified: Readonly<Record<string, string>>;
}

export interface OciConfig {
  readonly ociVersion: string;
  readonly process: OciProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly mounts: readonly OciMount[];
  readonly linux: {
    readonly cgroupsPath: string;
    readonly namespaces: readonly OciNamespace[];
    readonly resources: OciResources;
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
    readonly rootfsPropagation?: string;
    readonly seccomp?: Readonly<Record<string, unknown>>;
  };
}

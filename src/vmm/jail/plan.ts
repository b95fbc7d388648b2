// A VMM's jail as bubblewrap's command line. Pure. The VMM gets namespaces of its own, an empty network, a root of
// just its program's files and its VM's, no right and no way to one; docs/design/0012-jail.md says what each is for.
//
// Files come as descriptors that kilnd has opened and looked at, so no name of the host counts: see `Descriptor`.

import { planPrivileges } from "../../base/privileges.js";

/** root: no user namespace, setpriv changes the user inside. user: an ordinary user's own user namespace. */
export type JailWay = "root" | "user";

/** What the started program has at descriptor 3, 4, ... */
export type Descriptor =
  /** A listening socket of that name in the VM's run directory. */
  | { readonly kind: "listener"; readonly name: string }
  /** A file, FIFO or directory, opened with O_PATH; `writable` says how the VMM may open it. */
  | {
      readonly kind: "file";
      readonly type: JailFileType;
      readonly path: string;
      readonly writable: boolean;
      readonly what: string;
    }
  /** A block device, opened for use: no bind brings one into a jail. */
  | { readonly kind: "opened"; readonly path: string; readonly writable: boolean; readonly what: string }
  /** The seccomp filter is written here: nothing of the jail runs before. */
  | { readonly kind: "filter" }
  /** Here bubblewrap tells the VMM's pid. */
  | { readonly kind: "info" }
  /** Words of bubblewrap's command line that are written here: every user of the host may read the command line itself. */
  | { readonly kind: "words"; readonly words: readonly string[] };

export const FIRST_DESCRIPTOR = 3;

export type JailFileType = "file" | "fifo" | "directory";

/** A directory tree of the host that is bound at its own place in the jail, and links beside it. */
export interface JailTree {
  readonly binds: readonly { readonly from: string; readonly at: string }[];
  readonly links: readonly { readonly target: string; readonly at: string }[];
  /** Why it shows all of the host's programs, where it does although it should not. */
  readonly exposed?: string | undefined;
}

export interface JailFile {
  readonly path: string;
  /** In the jail. */
  readonly at: string;
  readonly writable: boolean;
  /** Default: a file. A directory that is writable is one in which the VMM makes its sockets. */
  readonly type?: JailFileType | undefined;
  /** For errors: "disk cow". */
  readonly what: string;
}

export type OpenedFile = Pick<JailFile, "path" | "writable" | "what">;

/** empty: not even a loopback. outer: that of what the jail is started in, with its user namespace: a VMM's own taps. */
export type JailNetwork = "empty" | "outer";

export interface JailRequest {
  readonly way: JailWay;
  /** Path of bubblewrap. */
  readonly bwrap: string;
  readonly tree: JailTree;
  readonly files: readonly JailFile[];
  /** Device nodes: /dev/kvm. */
  readonly devices: readonly string[];
  /** Listening sockets, from descriptor 3 on. */
  readonly listeners: readonly string[];
  /** Block devices that the VMM inherits, behind the listeners. */
  readonly opened?: readonly OpenedFile[] | undefined;
  readonly network: JailNetwork;
  readonly environment: Readonly<Record<string, string>>;
  readonly runAs: { readonly uid: number; readonly gid: number } | undefined;
  /** Groups for the devices; root's way only. */
  readonly groups: readonly number[];
  readonly limits: ResourceLimits;
  /** The program, by its path in the jail, and its arguments. */
  readonly command: readonly string[];
}

export interface ResourceLimits {
  readonly openFiles: number;
  /** Of the VM's own user; undefined where the user has other processes too. */
  readonly processes: number | undefined;
}

export interface LaunchPlan {
  readonly argv: readonly string[];
  readonly descriptors: readonly Descriptor[];
}

/** What every jail is unshared from, and what the test of this host tries. */
const USER_NAMESPACE = "--unshare-user";
export const NAMESPACES: Readonly<Record<JailWay, readonly string[]>> = {
  root: ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup"],
  user: [USER_NAMESPACE, "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup"],
};
export const EMPTY_NETWORK = "--unshare-net";

/** What setpriv in the jail needs to change the user; it drops them all. */
const CAPABILITIES: Readonly<Record<JailWay, readonly string[]>> = {
  root: [
    "--cap-drop",
    "ALL",
    "--cap-add",
    "CAP_SETUID",
    "--cap-add",
    "CAP_SETGID",
    "--cap-add",
    "CAP_SETPCAP",
  ],
  user: ["--cap-drop", "ALL"],
};

export function planJail(request: JailRequest): LaunchPlan {
  const { way, tree, files } = request;
  const descriptors: Descriptor[] = [...inheritedOf(request)];
  const take = (descriptor: Descriptor): string =>
    String(FIRST_DESCRIPTOR + descriptors.push(descriptor) - 1);
  const filter = take({ kind: "filter" });
  const info = take({ kind: "info" });
  const binds = files.flatMap((file) => {
    const number = take(asDescriptor(file));
    return [file.writable ? "--bind-fd" : "--ro-bind-fd", number, file.at];
  });
  const environment = Object.entries(request.environment);
  const words = take({
    kind: "words",
    words: environment.flatMap(([name, value]) => ["--setenv", name, value]),
  });
  const argv = [
    ...planLimits(request.limits),
    request.bwrap,
    ...namespacesOf(request),
    // Then the VMM itself is the process that --info-fd tells of.
    ...["--as-pid-1", "--new-session", "--clearenv", "--args", words],
    // Made on the way they would be closed to the VM's user.
    ...directoriesOf([...tree.binds.map(({ at }) => at), ...request.devices]).flatMap((directory) => [
      ...["--perms", "0755", "--dir", directory],
    ]),
    ...tree.binds.flatMap(({ from, at }) => ["--ro-bind", from, at]),
    ...tree.links.flatMap(({ target, at }) => ["--symlink", target, at]),
    ...binds,
    ...request.devices.flatMap((device) => ["--dev-bind", device, device]),
    ...["--remount-ro", "/", "--add-seccomp-fd", filter, "--info-fd", info],
    ...CAPABILITIES[way],
    ...["--chdir", "/", "--"],
    ...(way === "root" ? planPrivileges({ runAs: request.runAs, uid: 0, groups: request.groups }) : []),
    ...request.command,
  ];
  return { argv, descriptors };
}

export interface UnconfinedRequest {
  readonly runAs: JailRequest["runAs"];
  /** kilnd's own user. */
  readonly uid: number;
  readonly groups: readonly number[];
  readonly limits: ResourceLimits;
  readonly files: readonly JailFile[];
  readonly listeners: readonly string[];
  readonly opened?: readonly OpenedFile[] | undefined;
  /** @param at the name under which the VMM finds a file */
  readonly command: (at: (file: JailFile) => string) => readonly string[];
}

/** The same launch where there can be no jail: no right is left, but all of the host that the user sees. */
export function planUnconfined(request: UnconfinedRequest): LaunchPlan {
  const { files } = request;
  const inherited = inheritedOf(request);
  const descriptors = [...inherited, ...files.map(asDescriptor)];
  const command = request.command(unconfinedPlaces(files, inherited.length));
  return { argv: [...planLimits(request.limits), ...planPrivileges(request), ...command], descriptors };
}

/** Where a VMM without a jail finds its files: by its descriptors, which need no way through closed directories. */
export function unconfinedPlaces(files: readonly JailFile[], inherited: number): (file: JailFile) => string {
  const first = FIRST_DESCRIPTOR + inherited;
  return (file) => `/proc/self/fd/${first + files.indexOf(file)}`;
}

/** What comes first, at numbers that do not hang on the rest. */
function inheritedOf({
  listeners,
  opened = [],
}: Pick<JailRequest, "listeners" | "opened">): readonly Descriptor[] {
  return [
    ...listeners.map((name): Descriptor => ({ kind: "listener", name })),
    ...opened.map(({ path, writable, what }): Descriptor => ({ kind: "opened", path, writable, what })),
  ];
}

function asDescriptor({ path, writable, what, type = "file" }: JailFile): Descriptor {
  return { kind: "file", type, path, writable, what };
}

/** Taps belong to a network namespace, and that to a user namespace: a VMM with taps stays in both. */
function namespacesOf({ way, network }: JailRequest): string[] {
  if (network === "empty") return [...NAMESPACES[way], EMPTY_NETWORK];
  return NAMESPACES[way].filter((word) => word !== USER_NAMESPACE);
}

/** The directories above, outer ones first. */
function directoriesOf(paths: readonly string[]): string[] {
  const found = new Set<string>();
  for (const path of paths) {
    const parts = path.split("/").slice(1, -1);
    parts.forEach((_, index) => void found.add(`/${parts.slice(0, index + 1).join("/")}`));
  }
  return [...found].sort();
}

/** No core file: it would hold the guest's memory. */
function planLimits({ openFiles, processes }: ResourceLimits): string[] {
  return [
    ...["prlimit", "--core=0", `--nofile=${openFiles}`],
    ...(processes === undefined ? [] : [`--nproc=${processes}`]),
    "--",
  ];
}

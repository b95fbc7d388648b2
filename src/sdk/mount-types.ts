// Mounts and limits of a VM. `kiln inspect` prints these as JSON, so a field's name is API.

/** What of the host's files a VM is given. Which words a type takes: see the guide. */
export interface Mount {
  readonly type: "volume" | "bind" | "tmpfs" | "image" | "device";
  /** Name of a volume ("": one of its own), path on the host, image, block device. */
  readonly source: string;
  /** Absolute path in the VM. A device below /dev becomes a device there; else what is on it is mounted. */
  readonly target: string;
  readonly readOnly: boolean;
  /** Volume, image: below the source. */
  readonly subpath: string;
  /** Volume: is not filled with what the image has at the target. */
  readonly noCopy: boolean;
  /** Tmpfs, or a volume that is made by it. 0: its default. */
  readonly sizeBytes: number;
  /** Tmpfs; 0: 01777. */
  readonly mode: number;
  /** Of a volume that is made by it. */
  readonly labels: Readonly<Record<string, string>>;
  /** Bind: I/O fails while its server is away, instead of waiting. */
  readonly soft: boolean;
  /** Bind: changes made on the host are told to inotify in the VM. */
  readonly notify: boolean;
  /** Bind: "GUEST:HOST:COUNT" of ids; "": all files are one user's. */
  readonly idmap: string;
  /** Tmpfs: no program can be run from it. */
  readonly noExec: boolean;
  /** Tmpfs: whose its top is. */
  readonly uid: number;
  readonly gid: number;
}

/** A mount, and how it is at this moment. */
export interface MountStatus {
  /** As it was asked, but with the name of a volume that was made for it. */
  readonly mount: Mount;
  /** "away": the server of a shared directory does not answer. */
  readonly state: "detached" | "attached" | "away";
  /** For people: why it is so. */
  readonly message: string;
}

/** A limit of the programs in a VM: getrlimit(2)'s. */
export interface Ulimit {
  /** "nofile", without RLIMIT_ and in small letters. */
  readonly name: string;
  /** -1: unlimited. */
  readonly soft: number;
  readonly hard: number;
}

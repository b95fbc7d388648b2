// Kernels as the engine sees them.

import type { Abortable, OnProgress } from "../base/progress.js";

/** A kernel in the catalogue: its vmlinux is here, with its modules where it has any. */
export interface StoredKernel {
  /** sha256 hex of vmlinux: the same kernel imported twice is one. */
  readonly id: string;
  readonly name: string;
  /** uname -r. */
  readonly release: string;
  readonly source: string;
  readonly architecture: "amd64" | "arm64";
  /** It has a PVH entry: QEMU boots an ELF kernel only through it; Firecracker does not need it. */
  readonly pvh: boolean;
  /** What to boot: an uncompressed ELF (arm64: Image), mode 0644. */
  readonly vmlinux: string;
  /** Directory with `modules.*` and `kernel/...` as below /lib/modules/<release>; absent where all is built in. */
  readonly modulesDirectory?: string;
  readonly sizeBytes: number;
  readonly createdAt: string;
  /** What one of kiln's own was made of; absent for all others. */
  readonly own?: OwnKernel;
}

/** What a kernel that kiln has built was made of. */
export interface OwnKernel {
  /** "linux-source-6.1 6.1.192-2" */
  readonly source: string;
  /** sha256 of the configuration's fragments. */
  readonly configuration: string;
}

export interface KernelCatalogue {
  open(): Promise<void>;
  list(): readonly StoredKernel[];
  /** By id, prefix or name; "kiln" and "debian" are the newest of each. Throws not_found. */
  find(key: string): StoredKernel;
  /** The one to boot and why; undefined where none has been brought yet. */
  default(): { kernel: StoredKernel; why: string } | undefined;
  setDefault(key: string): Promise<void>;
  importFile(path: string, options: KernelImportOptions): Promise<StoredKernel>;
  importDeb(path: string, options: KernelImportOptions): Promise<StoredKernel>;
  /** A directory that holds boot/vmlinux and lib/modules (what an OCI kernel image unpacks to). */
  importTree(root: string, options: TreeImportOptions): Promise<StoredKernel>;
  /** Debian's packaged cloud kernel through apt. */
  importDebian(options: KernelImportOptions): Promise<StoredKernel>;
  /** Where its directory can't be moved away it is there as it was. @throws of the file system */
  remove(key: string): Promise<void>;
  /** Paths of what lies among the kernels and is none, and that no import works on. */
  strays(): Promise<string[]>;
  /** Removes what removals could not take away. @returns the bytes that came back */
  clearLeftovers(): Promise<number>;
  /**
   * The initramfs for this kernel and agent: made when it is first asked for, and cached by the hash of both. An
   * uncompressed newc cpio with /init (the agent), /modules.list, /modules.scsi and /modules.pci where those are wanted, and the
   * modules of all in dependency order.
   */
  initramfs(kernel: StoredKernel, agentPath: string, options?: InitramfsOptions): Promise<string>;
}

export interface InitramfsOptions {
  /** For a machine with disks on SCSI: with the modules for them, where the kernel has them as modules. */
  readonly scsi?: boolean;
  /** For a machine to which cards may come while it runs: the same of those for PCI. */
  readonly pci?: boolean;
}

export interface KernelImportOptions extends Abortable {
  readonly name?: string | undefined;
  /** Directory with this kernel's modules, for a bare vmlinux. */
  readonly modulesDirectory?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export interface TreeImportOptions extends KernelImportOptions {
  /** Where it comes from, for people; default the directory. */
  readonly source?: string;
  /** It is one that kiln has built. */
  readonly own?: OwnKernel | undefined;
}

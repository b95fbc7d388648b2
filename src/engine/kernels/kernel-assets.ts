// What a VM boots: kernel, initramfs, and the disk of its modules. The disk is made once for each kernel and kept
// beside the bases. A host without any kernel gets Debian's on the first VM.

import { join } from "node:path";
import { DerivedFiles } from "../../base/derived-files.js";
import { Code, hasReason, KilnError } from "../../base/errors.js";
import { allocatedBytes } from "../../base/files.js";
import type { KernelCatalogue, StoredKernel } from "../../kernel/types.js";
import type { DiskBus } from "../../vmm/types.js";
import type { DiskRoom } from "../common/rooms.js";
import { SharedWork, type WorkOptions } from "../common/shared-work.js";
import type { Ownership } from "../host/ownership.js";
import { collect, requireAll } from "../objects/collect.js";
import type { References } from "../objects/references.js";

export interface BootAssets {
  readonly kernel: StoredKernel;
  /** The disk of its modules; undefined where it has everything built in. */
  readonly modules: string | undefined;
}

export interface KernelAssetsOptions {
  readonly dataRoot: string;
  readonly catalogue: KernelCatalogue;
  readonly disks: DiskRoom;
  readonly ownership: Ownership;
  readonly agentPath: string;
  readonly references: References;
}

const KERNEL_ID = /^[0-9a-f]{64}$/;

export class KernelAssets {
  readonly #options: KernelAssetsOptions;
  readonly #files: DerivedFiles;
  readonly #imports = new SharedWork<StoredKernel>();
  readonly #disks = new SharedWork<string>();

  constructor(options: KernelAssetsOptions) {
    this.#options = options;
    this.#files = new DerivedFiles({
      ...{ root: join(options.dataRoot, "modules"), id: KERNEL_ID, ending: ".ext4" },
    });
  }

  /** Removes what a kill left half made. */
  async open(): Promise<void> {
    for (const id of await this.#files.open()) {
      // Earlier releases let all VMMs in by a group.
      await this.#options.ownership.shareReadOnly(this.#files.path(id));
    }
  }

  /**
   * The kernel for a new VM. Without a name the default; Debian's is fetched where it is meant and not there yet.
   *
   * @throws KilnError not_found `kernel-not-found`, or what the import says
   */
  async choose(name: string, options: WorkOptions): Promise<StoredKernel> {
    const { catalogue } = this.#options;
    if (name !== "") {
      const found = this.#find(name);
      if (found !== undefined) return found;
    }
    const ready = name === "" ? catalogue.default() : undefined;
    if (ready !== undefined) return ready.kernel;
    return this.#imports.run("debian", options, async (signal, onProgress) => {
      onProgress({ id: "kernel", status: "resolving", message: "fetching Debian's kernel" });
      try {
        const kernel = await catalogue.importDebian({ signal, onProgress });
        onProgress({ id: "kernel", status: "done" });
        return kernel;
      } catch (error) {
        throw noKernel(error);
      }
    });
  }

  /** undefined for Debian's where it has not been brought yet: that can be done. */
  #find(name: string): StoredKernel | undefined {
    try {
      return this.#options.catalogue.find(name);
    } catch (error) {
      if (name === "debian" && hasReason(error, "kernel-not-found")) return undefined;
      throw error;
    }
  }

  /**
   * The kernel of a VM, with the disk of its modules; made where it is missing.
   *
   * @throws KilnError failed_precondition `kernel-missing`, `being-removed`
   */
  async prepare(kernelId: string): Promise<BootAssets> {
    return this.#leased(kernelId, async (kernel) => ({ kernel, modules: await this.#modulesDisk(kernel) }));
  }

  /**
   * The initramfs that a boot of this kernel needs; made where it is missing.
   *
   * @param buses those on which the VM has its disks
   * @param pci that cards may come while it runs
   * @throws KilnError failed_precondition `kernel-missing`, `being-removed`
   */
  async initramfs(kernelId: string, buses: ReadonlySet<DiskBus>, pci: boolean): Promise<string> {
    const { catalogue, agentPath } = this.#options;
    const scsi = buses.has("scsi");
    return this.#leased(kernelId, (kernel) => catalogue.initramfs(kernel, agentPath, { scsi, pci }));
  }

  async #leased<T>(kernelId: string, body: (kernel: StoredKernel) => Promise<T>): Promise<T> {
    const { catalogue, references } = this.#options;
    const ref = { noun: "kernel", id: kernelId } as const;
    const { release } = references.lease(ref, "a VM is about to boot it");
    try {
      const kernel = catalogue.list().find(({ id }) => id === kernelId);
      if (kernel === undefined) throw kernelMissing(kernelId);
      return await body(kernel);
    } finally {
      release();
    }
  }

  /**
   * Removes the modules disks of kernels that are gone, also where VMs name them. @returns the bytes that came back
   */
  async collect(): Promise<number> {
    let bytes = 0;
    const removal = async (id: string) => {
      bytes += await this.#files.remove(id);
    };
    const gone = await this.#files.ids();
    const options = { breaks: ["made-from"] } as const;
    requireAll(await collect(this.#options.references, "kernel", this.#goneOf(gone), removal, options));
    return bytes;
  }

  /** Asked at each one's turn: it may have been imported again meanwhile. */
  *#goneOf(ids: readonly string[]): Generator<string> {
    for (const id of ids) if (!this.has(id)) yield id;
  }

  /** The modules disk of a kernel that is gone, for who has claimed it. */
  async drop(kernelId: string): Promise<void> {
    await this.#files.remove(kernelId);
  }

  has(kernelId: string): boolean {
    return this.#options.catalogue.list().some(({ id }) => id === kernelId);
  }

  /** Bytes that the modules disks take. */
  async usage(): Promise<number> {
    let bytes = 0;
    for (const id of await this.#files.ids()) bytes += await allocatedBytes(this.#files.path(id));
    return bytes;
  }

  async #modulesDisk(kernel: StoredKernel): Promise<string | undefined> {
    const { modulesDirectory } = kernel;
    if (modulesDirectory === undefined) return undefined;
    if (await this.#files.has(kernel.id)) return this.#files.path(kernel.id);
    return this.#disks.run(kernel.id, {}, (signal) => this.#makeDisk(kernel, modulesDirectory, signal));
  }

  async #makeDisk(kernel: StoredKernel, modulesDirectory: string, signal: AbortSignal): Promise<string> {
    const { disks, ownership } = this.#options;
    try {
      return await this.#files.make(kernel.id, async (temp) => {
        const identity = `modules of kernel ${kernel.id}`;
        await disks.buildFromDirectory(modulesDirectory, temp, { signal, identity });
        await ownership.shareReadOnly(temp);
      });
    } catch (error) {
      throw KilnError.from(error, `make the modules disk of kernel ${kernel.name}`);
    }
  }
}

function noKernel(cause: unknown): KilnError {
  const error = KilnError.from(cause, "there is no kernel yet, and Debian's can't be fetched");
  return new KilnError(error.code, error.message, {
    reason: error.reason === "cancelled" ? "cancelled" : "no-kernel",
    hint: "bring one with `kiln kernel import FILE` (vmlinux, bzImage or a .deb)",
    details: error.details,
    cause,
  });
}

function kernelMissing(id: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `the VM's kernel ${id.slice(0, 12)} is no longer here`, {
    reason: "kernel-missing",
    hint: "import the same kernel again, or make a new VM from the image",
  });
}

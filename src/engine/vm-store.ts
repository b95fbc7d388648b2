// VMs on disk: vms/<id>/{vm.json,status.json,cow,log/,vmm/}. A VM comes into being by one rename and leaves by one
// rename, so a kill at any point leaves either a whole VM or a directory whose name says it is rubbish.

import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { GenericSchema, InferOutput } from "valibot";
import { errnoOf, KilnError } from "../base/errors.js";
import { makeDirectory, readJson, syncDirectory, writeJsonAtomic } from "../base/files.js";
import { UndoStack } from "../base/undo.js";
import { listSegments } from "./log-segments.js";
import { parseRecord, type VmRecord, VmRecordSchema } from "./vm-record.js";
import { FAILED_EXIT_CODE } from "./vm-state.js";
import { createdStatus, type VmStatus, VmStatusSchema } from "./vm-status.js";

const CREATING = ".creating-";
const REMOVING = ".removing-";
const ID = /^[0-9a-f]{64}$/;

export interface LoadedVm {
  readonly record: VmRecord;
  readonly status: VmStatus;
}

export interface DamagedVm {
  readonly id: string;
  readonly error: KilnError;
  /** Where it was put. */
  readonly movedTo: string;
}

export class VmStore {
  readonly #root: string;
  readonly #quarantine: string;

  constructor(dataRoot: string) {
    this.#root = join(dataRoot, "vms");
    this.#quarantine = join(dataRoot, "quarantine");
  }

  /** Where all VMs lie. */
  get root(): string {
    return this.#root;
  }

  directory(id: string): string {
    return join(this.#root, id);
  }

  cowPath(id: string): string {
    return join(this.#root, id, "cow");
  }

  logDirectory(id: string): string {
    return join(this.#root, id, "log");
  }

  /** The VMM's own directory: console log, configuration. */
  vmmDirectory(id: string): string {
    return join(this.#root, id, "vmm");
  }

  /** Reads everything, finishes half-done removals and creations, puts damaged records aside. */
  async load(): Promise<{ vms: LoadedVm[]; damaged: DamagedVm[] }> {
    await makeDirectory(this.#root);
    const vms: LoadedVm[] = [];
    const damaged: DamagedVm[] = [];
    for (const name of await readdir(this.#root)) {
      if (name.startsWith(CREATING) || name.startsWith(REMOVING)) {
        await rm(join(this.#root, name), { recursive: true, force: true });
      } else if (ID.test(name)) {
        const loaded = await this.#loadOne(name);
        if ("record" in loaded) vms.push(loaded);
        else damaged.push(loaded);
      }
    }
    return { vms, damaged };
  }

  /**
   * Makes a VM's directory. `prepare` fills it (the cow) before it becomes visible; whatever fails leaves nothing.
   */
  async create(record: VmRecord, prepare: (directory: string) => Promise<void>): Promise<VmStatus> {
    const status = createdStatus();
    const making = join(this.#root, CREATING + record.id);
    await using undo = new UndoStack();
    await mkdir(making, { mode: 0o700 });
    undo.push(`remove ${making}`, () => rm(making, { recursive: true, force: true }));
    await prepare(making);
    // The rename below makes both durable at once: no fsync of the directory in the making is needed.
    await writeJsonAtomic(join(making, "status.json"), status, { durable: false });
    await writeJsonAtomic(join(making, "vm.json"), record);
    await rename(making, this.directory(record.id));
    undo.commit();
    await syncDirectory(this.#root);
    return status;
  }

  saveRecord(record: VmRecord): Promise<void> {
    return writeJsonAtomic(join(this.directory(record.id), "vm.json"), record);
  }

  /** @param durable true where a power cut must not forget it (how a VM ended) */
  saveStatus(id: string, status: VmStatus, durable: boolean): Promise<void> {
    return writeJsonAtomic(join(this.directory(id), "status.json"), status, { durable });
  }

  /** Gone at once for everybody; the files go after it. */
  async remove(id: string): Promise<void> {
    const dying = join(this.#root, REMOVING + id);
    try {
      await rename(this.directory(id), dying);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
    await rm(dying, { recursive: true, force: true });
  }

  /** Names in vms/ that belong to no VM: for `system df`. */
  async strays(known: ReadonlySet<string>): Promise<string[]> {
    const names = await readdir(this.#root);
    return names.filter((name) => !known.has(name)).map((name) => join(this.#root, name));
  }

  async #loadOne(id: string): Promise<LoadedVm | DamagedVm> {
    const directory = this.directory(id);
    try {
      const record = await this.#read(VmRecordSchema, join(directory, "vm.json"));
      if (record.id !== id) throw KilnError.from(new Error(`vm.json names VM ${record.id}`), directory);
      return { record, status: await this.#loadStatus(directory) };
    } catch (error) {
      return { id, error: KilnError.from(error, `load VM ${id}`), movedTo: await this.#putAside(id) };
    }
  }

  /** A lost or damaged status loses no VM: it is then one that ended in a way nobody knows. */
  async #loadStatus(directory: string): Promise<VmStatus> {
    try {
      return await this.#read(VmStatusSchema, join(directory, "status.json"));
    } catch (error) {
      const message = KilnError.from(error).message;
      // Output of the next boot must not be taken for the continuation of an earlier one.
      const boot = (await listSegments(join(directory, "log"))).at(-1)?.boot ?? 0;
      return {
        ...createdStatus(),
        state: "failed",
        reason: "status-lost",
        message,
        exitCode: FAILED_EXIT_CODE,
        boot,
      };
    }
  }

  async #read<S extends GenericSchema>(schema: S, path: string): Promise<InferOutput<S>> {
    const value = await readJson(path);
    return parseRecord(schema, value, path);
  }

  async #putAside(id: string): Promise<string> {
    await makeDirectory(this.#quarantine);
    const target = join(this.#quarantine, `vm-${id}-${Date.now()}`);
    await rename(this.directory(id), target);
    return target;
  }
}

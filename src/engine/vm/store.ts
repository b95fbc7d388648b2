// VMs on disk: vms/<id>/{vm.json,status.json,cow,log/,vmm/}. How they come, go and are read is the object store's; what
// is a VM's own is here: what can be made of one whose files are lost, and where its parts lie.

import { join } from "node:path";
import { failpoint } from "../../base/failpoint.js";
import type { Logger } from "../../base/log.js";
import { type LoadedObject, ObjectStore } from "../../base/object-store.js";
import type { Reading } from "../../base/record-form.js";
import type { EntryFiles } from "../objects/entry.js";
import {
  completeRecord,
  isWholeRecord,
  isWholeStatus,
  lostStatus,
  parseVmStatus,
  readDirectoryFacts,
} from "./load.js";
import { VM_RECORD, type VmRecord } from "./record.js";
import { createdStatus, VM_STATUS, type VmStatus } from "./status.js";

export const VM_RECORD_FILE = "vm.json";
const STATUS_FILE = "status.json";
const ID = /^[0-9a-f]{64}$/;

export interface LoadedVm {
  readonly record: VmRecord;
  readonly status: VmStatus;
  /** Why it can't be started and its record can't be changed: what of vm.json is lost or not understood. */
  readonly recordFlaw: string | undefined;
  /** The status is what was written last, every word of it understood. False: what runs may differ. */
  readonly statusIsSure: boolean;
  /** What could not be understood in its files, for the log. */
  readonly remarks: readonly string[];
}

export class VmStore {
  readonly #objects: ObjectStore<VmRecord, VmStatus>;

  constructor(dataRoot: string, log: Logger) {
    this.#objects = new ObjectStore({
      ...{ noun: "VM", root: join(dataRoot, "vms"), id: ID, log },
      record: { file: VM_RECORD_FILE, kind: VM_RECORD, isWhole: isWholeRecord },
      status: { file: STATUS_FILE, kind: VM_STATUS, parse: parseVmStatus, isWhole: isWholeStatus },
      onStep: (step) => failpoint(`vm.${step}`),
    });
  }

  /** For the entries in memory. */
  get files(): EntryFiles<VmRecord, VmStatus> {
    return this.#objects;
  }

  directory(id: string): string {
    return this.#objects.path(id);
  }

  cowPath(id: string): string {
    return this.#objects.path(id, "cow");
  }

  logDirectory(id: string): string {
    return this.#objects.path(id, "log");
  }

  /** The VMM's own directory: console log, configuration. */
  vmmDirectory(id: string): string {
    return this.#objects.path(id, "vmm");
  }

  /** Reads everything, finishes half-done removals and creations. No VM is left out, whatever became of its files. */
  async load(): Promise<LoadedVm[]> {
    const vms: LoadedVm[] = [];
    for (const found of await this.#objects.load()) vms.push(await this.#complete(found));
    return vms;
  }

  /**
   * Makes a VM's directory. `prepare` fills it (the cow) before it becomes visible; whatever fails leaves nothing.
   */
  async create(record: VmRecord, prepare: (directory: string) => Promise<void>): Promise<VmStatus> {
    const status = createdStatus();
    await this.#objects.create(record.id, { record, status }, prepare);
    return status;
  }

  /** Gone at once for everybody; the files go after it. @param gone see `ObjectStore.remove` */
  remove(id: string, gone?: () => void): Promise<void> {
    return this.#objects.remove(id, gone);
  }

  /** What lies in vms/ and belongs to no VM: for `system df`. */
  strays(known: ReadonlySet<string>): Promise<string[]> {
    return this.#objects.strays(known);
  }

  /** For `system prune`. @returns the bytes that came back */
  clearLeftovers(): Promise<number> {
    return this.#objects.clearLeftovers();
  }

  async #complete(found: LoadedObject<VmRecord, VmStatus>): Promise<LoadedVm> {
    const { id, record, status = LOST } = found;
    const directory = this.directory(id);
    const facts = await readDirectoryFacts(directory, id);
    const why = `its status is lost: ${status.damage ?? "the file is gone"}`;
    return {
      record: completeRecord(record.value, facts),
      status: status.value ?? (await lostStatus(directory, why)),
      recordFlaw: flawOf(record),
      statusIsSure: status.whole && !status.fromCopy && status.problems.length === 0,
      remarks: [...remarksOn(VM_RECORD_FILE, record), ...remarksOn(STATUS_FILE, status)],
    };
  }
}

const LOST: Reading<VmStatus> = {
  ...{ value: undefined, whole: false, fromCopy: false, newer: false },
  ...{ problems: [], damage: undefined },
};

/** Why a VM of such a record is not started. */
function flawOf({ value, whole, newer, problems, damage }: Reading<VmRecord>): string | undefined {
  if (value === undefined) return `its record is lost: ${damage ?? "vm.json is gone"}`;
  if (newer) return `its record was written by a newer kiln (form ${value.version})`;
  if (!whole) return "its record lacks program, base or kernel";
  const [problem] = problems;
  return problem === undefined ? undefined : `its record can't be understood: ${problem}`;
}

/** That a file is damaged, or gone, says the object store. */
function remarksOn(name: string, { problems }: Reading<unknown>): string[] {
  return problems.map((problem) => `${name}: ${problem}`);
}

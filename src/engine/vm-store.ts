// VMs on disk: vms/<id>/{vm.json,status.json,cow,log/,vmm/}. A VM comes into being by one rename and leaves by one
// rename, so a kill at any point leaves either a whole VM or a directory whose name says it is rubbish.

import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../base/errors.js";
import { makeDirectory, removeLeftovers, syncDirectory } from "../base/files.js";
import { readKept, writeKept, writeKeptNew } from "../base/kept-file.js";
import { allEnded } from "../base/runtime.js";
import { UndoStack } from "../base/undo.js";
import type { Parsed } from "../base/versioned.js";
import {
  completeRecord,
  isWholeRecord,
  isWholeStatus,
  lostStatus,
  parseVmRecord,
  parseVmStatus,
  readDirectoryFacts,
} from "./vm-load.js";
import type { VmRecord } from "./vm-record.js";
import { createdStatus, type VmStatus } from "./vm-status.js";

const CREATING = ".creating-";
const REMOVING = ".removing-";
const RECORD = "vm.json";
const STATUS = "status.json";
const ID = /^[0-9a-f]{64}$/;

export interface LoadedVm {
  readonly record: VmRecord;
  readonly status: VmStatus;
  /** Why it can't be started and its record can't be changed: what of vm.json is lost or not understood. */
  readonly recordFlaw: string | undefined;
  /** The status is what was written last, every word of it understood. False: what runs may differ. */
  readonly statusIsSure: boolean;
  /** What was wrong with its files, for the log. */
  readonly remarks: readonly string[];
}

export class VmStore {
  readonly #root: string;

  constructor(dataRoot: string) {
    this.#root = join(dataRoot, "vms");
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

  /** Reads everything, finishes half-done removals and creations. No VM is left out, whatever became of its files. */
  async load(): Promise<LoadedVm[]> {
    await makeDirectory(this.#root);
    const vms: LoadedVm[] = [];
    for (const name of await readdir(this.#root)) {
      if (name.startsWith(CREATING) || name.startsWith(REMOVING)) {
        await rm(join(this.#root, name), { recursive: true, force: true });
      } else if (ID.test(name)) {
        // What stays is a few bytes: no reason to leave a VM out.
        await removeLeftovers(this.directory(name)).catch(() => undefined);
        vms.push(await this.#loadOne(name));
      }
    }
    return vms;
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
    await allEnded([
      prepare(making),
      writeKeptNew(join(making, STATUS), status),
      writeKeptNew(join(making, RECORD), record),
    ]);
    await syncDirectory(making);
    await rename(making, this.directory(record.id));
    undo.commit();
    await syncDirectory(this.#root);
    return status;
  }

  saveRecord(record: VmRecord): Promise<void> {
    return writeKept(join(this.directory(record.id), RECORD), record);
  }

  /** @param durable true where a power cut must not forget it (how a VM ended) */
  saveStatus(id: string, status: VmStatus, durable: boolean): Promise<void> {
    return writeKept(join(this.directory(id), STATUS), status, { durable });
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

  async #loadOne(id: string): Promise<LoadedVm> {
    const directory = this.directory(id);
    const recordPath = join(directory, RECORD);
    const record = await readTwice(recordPath, parseVmRecord, isWholeRecord);
    const status = await readTwice(join(directory, STATUS), parseVmStatus, isWholeStatus);
    const facts = await readDirectoryFacts(directory, id);
    const complete = completeRecord(record.parsed?.value, facts);
    const recordFlaw = flawOf(record);
    // Brought up to date once and for all. A newer form is left as it is.
    if (record.parsed?.migrated === true && recordFlaw === undefined) {
      await writeKept(recordPath, complete).catch(() => undefined);
    }
    const why = `its status is lost: ${status.damage ?? "the file is gone"}`;
    return {
      record: complete,
      status: status.parsed?.value ?? (await lostStatus(directory, why)),
      recordFlaw,
      statusIsSure: status.whole && !status.fromCopy && status.parsed?.problems.length === 0,
      remarks: [...remarksOn("vm.json", record), ...remarksOn("status.json", status)],
    };
  }
}

interface Reading<T> {
  readonly parsed: Parsed<T> | undefined;
  readonly whole: boolean;
  readonly fromCopy: boolean;
  readonly damage: string | undefined;
}

/** The first of file and copy that is whole; else the first of which anything can be read. */
async function readTwice<T>(
  path: string,
  parse: (json: unknown) => Parsed<T> | undefined,
  isWhole: (parsed: Parsed<T>, json: unknown) => boolean,
): Promise<Reading<T>> {
  const strictly = (json: unknown) => {
    const parsed = parse(json);
    return parsed !== undefined && isWhole(parsed, json) ? parsed : undefined;
  };
  const whole = await readKept(path, strictly);
  if (whole.value !== undefined) {
    return { parsed: whole.value, whole: true, fromCopy: whole.fromCopy, damage: whole.damage };
  }
  const rest = await readKept(path, parse, { mend: false });
  return { parsed: rest.value, whole: false, fromCopy: false, damage: whole.damage };
}

/** Why a VM of such a record is not started. */
function flawOf({ parsed, whole, damage }: Reading<VmRecord>): string | undefined {
  if (parsed === undefined) return `its record is lost: ${damage ?? "vm.json is gone"}`;
  if (parsed.newer) return `its record was written by a newer kiln (form ${parsed.value.version})`;
  if (!whole) return "its record lacks program, base or kernel";
  const [problem] = parsed.problems;
  return problem === undefined ? undefined : `its record can't be understood: ${problem}`;
}

function remarksOn(name: string, { parsed, fromCopy, damage }: Reading<unknown>): string[] {
  const lost = parsed === undefined ? `${name} is lost` : fromCopy ? `${name} was read from its copy` : name;
  const problems = (parsed?.problems ?? []).map((problem) => `${name}: ${problem}`);
  if (damage === undefined && parsed !== undefined && !fromCopy) return problems;
  return [damage === undefined ? lost : `${lost}: ${damage}`, ...problems];
}

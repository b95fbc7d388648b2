// What can be made of a VM's files, whatever their state: whole, partly readable, of another release, or lost. Pure, but
// for the look at what else lies in the VM's directory. A VM is never given up for its files: what can't be known is
// guessed so that it can be shown, stopped and removed, and only starting it again is refused.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { defined } from "../../base/defined.js";
import { readJson } from "../../base/files.js";
import { shortId } from "../../base/ids.js";
import { type JsonObject, type Parsed, parseVersioned } from "../../base/versioned.js";
import { listSegments } from "../output/log-segments.js";
import { FAILED_EXIT_CODE } from "./exit-codes.js";
import { VM_RECORD, type VmRecord } from "./record.js";
import { VM_STATES } from "./state.js";
import { createdStatus, VM_STATUS, type VmStatus } from "./status.js";

const KEY = /^[0-9a-f]{64}$/;

/** What a VM's directory tells without its record. */
export interface DirectoryFacts {
  readonly id: string;
  /** The base that the cow stands on; "" where that is lost too. */
  readonly base: string;
  readonly createdAt: string;
  /** Whose the cow is, where it is a VMM's user of its own. */
  readonly uid: number | undefined;
}

export async function readDirectoryFacts(directory: string, id: string): Promise<DirectoryFacts> {
  const { birthtime } = await stat(directory);
  const cow = await stat(join(directory, "cow")).catch(() => undefined);
  const own = process.getuid?.() ?? 0;
  return {
    id,
    base: await baseOfCow(join(directory, "cow.json")),
    createdAt: birthtime.toISOString(),
    uid: cow === undefined || cow.uid === own ? undefined : cow.uid,
  };
}

/** True where a record says all that a start needs. */
export function isWholeRecord({ value }: Parsed<VmRecord>, json: unknown): boolean {
  const { program } = json as { program?: { args?: unknown } };
  return KEY.test(value.base) && value.kernelId !== "" && Array.isArray(program?.args);
}

/** True where a status says what runs, if anything does. */
export function isWholeStatus({ value }: Parsed<VmStatus>, json: unknown): boolean {
  const { state } = json as { state?: unknown };
  const runs = value.state === "running" || value.state === "paused" || value.state === "stopping";
  return state === value.state && (!runs || value.vmm !== undefined);
}

export function parseVmRecord(json: unknown): Parsed<VmRecord> | undefined {
  return parseVersioned(VM_RECORD, json);
}

const States = v.picklist(VM_STATES);

/** A state that is unknown is guessed by whether a VMM was noted. */
export function parseVmStatus(json: unknown): Parsed<VmStatus> | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  const { state, vmm } = json as JsonObject;
  if (v.is(States, state)) return parseVersioned(VM_STATUS, json);
  const guessed = parseVersioned(VM_STATUS, { ...json, state: vmm === undefined ? "failed" : "running" });
  if (guessed === undefined) return undefined;
  return { ...guessed, problems: [`state: ${JSON.stringify(state)} is unknown`, ...guessed.problems] };
}

/** A record with its gaps filled from the directory. */
export function completeRecord(found: VmRecord | undefined, facts: DirectoryFacts): VmRecord {
  const made = found ?? emptyRecord();
  return {
    ...made,
    id: facts.id,
    createdAt: made.createdAt || facts.createdAt,
    config: { ...made.config, name: made.config.name || `vm-${shortId(facts.id)}` },
    base: KEY.test(made.base) ? made.base : facts.base,
    ...defined({ uid: made.uid ?? facts.uid }),
  };
}

function emptyRecord(): VmRecord {
  const parsed = parseVmRecord({});
  if (parsed === undefined) throw new TypeError("every field of a VM's record has a default");
  return parsed.value;
}

/** The status of a VM whose status is lost and of which nothing runs: it ended in a way that nobody knows. */
export async function lostStatus(directory: string, why: string): Promise<VmStatus> {
  return {
    ...createdStatus(),
    state: "failed",
    reason: "status-lost",
    message: why,
    exitCode: FAILED_EXIT_CODE,
    boot: await lastBoot(directory),
  };
}

/** Output of the next boot must not be taken for the continuation of an earlier one. */
export async function lastBoot(directory: string): Promise<number> {
  const segments = await listSegments(join(directory, "log")).catch(() => []);
  return segments.at(-1)?.boot ?? 0;
}

async function baseOfCow(path: string): Promise<string> {
  try {
    const { baseDigest } = (await readJson(path)) as { baseDigest?: unknown };
    return typeof baseDigest === "string" && KEY.test(baseDigest) ? baseDigest : "";
  } catch {
    return "";
  }
}

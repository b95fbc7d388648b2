// What the real one refuses by the state that it is in or the file that it finds, in its words.

import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from "node:fs";
import type { Body } from "./schema.js";

/** Thrown where the real one answers 400. */
export class ActionError extends Error {}

export type VmState = "Not started" | "Running" | "Paused";

export const PRE_BOOT = "The requested operation is not supported before starting the microVM.";
export const POST_BOOT = "The requested operation is not supported after starting the microVM.";
export const NO_PCI = "PCI is not enabled";

export function unknownPath(method: string, url: string): ActionError {
  return new ActionError(`Invalid request method and/or path: ${method} ${url}.`);
}

/** DELETE of a device. */
export function refuseUnplug(state: VmState, resource: string, url: string): ActionError {
  if (resource !== "drives" && resource !== "network-interfaces") return unknownPath("DELETE", url);
  return new ActionError(state === "Not started" ? PRE_BOOT : NO_PCI);
}

/** What the stand-in has not at all. */
export function refuseMissing(state: VmState, what: string): ActionError {
  return new ActionError(state === "Not started" ? PRE_BOOT : `${what}: not in the stand-in`);
}

export function refuseSnapshot(state: VmState): ActionError {
  if (state === "Not started") return new ActionError(PRE_BOOT);
  const why = state === "Running" ? "save/restore unavailable while running" : "not in the stand-in";
  return new ActionError(
    `Create snapshot error: Cannot save the microVM state: Operation not allowed: ${why}`,
  );
}

/** A load that was tried and failed ends the real one. */
export function refuseLoad(state: VmState, isConfigured: boolean): { refusal: ActionError; ends: boolean } {
  if (state !== "Not started") return { refusal: new ActionError(POST_BOOT), ends: false };
  const what = "Load snapshot error:";
  const late = `${what} Loading a microVM snapshot not allowed after configuring boot-specific resources.`;
  if (isConfigured) return { refusal: new ActionError(late), ends: false };
  const why = "Failed to get snapshot state from file: Failed to open snapshot file: No such file";
  return { refusal: new ActionError(`${what} Failed to restore from snapshot: ${why}`), ends: true };
}

export function checkDriveUpdate(body: Body, drive: Body | undefined): void {
  const refuse = (why: string) =>
    new ActionError(
      `Drive config error: Unable to patch the block device: ${why} Please verify the request arguments.`,
    );
  if (drive === undefined) throw refuse("Failed perform action on device: Device not found");
  const path = body.path_on_host;
  if (typeof path !== "string") {
    if ((body.rate_limiter ?? null) === null)
      throw refuse("Block: Running method expected different backend.");
    return;
  }
  const file = "Block: Virtio backend error: Error manipulating the backing file:";
  if (!existsSync(path)) throw refuse(`${file} No such file`);
  try {
    accessSync(path, drive.is_read_only === true ? constants.R_OK : constants.R_OK | constants.W_OK);
  } catch {
    throw refuse(`${file} Permission denied`);
  }
  if (statSync(path).isDirectory()) throw refuse(`${file} Is a directory`);
}

export function checkId(id: string): void {
  if (!/^[A-Za-z0-9_]+$/.test(id)) throw new ActionError("The provided ID contains invalid characters");
}

/** Looked at when the VM starts, not when it is named. */
export function checkKernel(path: string): void {
  const magic = Buffer.alloc(4);
  const file = openSync(path, "r");
  readSync(file, magic);
  closeSync(file);
  if (magic.toString("latin1") !== "\x7fELF")
    throw new ActionError(
      "System configuration error: Cannot load kernel due to invalid memory configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel image",
    );
}

export function openable(path: string, mode: number, what: string): void {
  try {
    accessSync(path, mode);
  } catch (error) {
    throw new ActionError(`${what}: ${(error as Error).message}`);
  }
}

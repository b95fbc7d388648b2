// What a launch hands over: files opened once and looked at, and sockets that listen before the VMM exists. Their names
// stay kilnd's: the VMM can plant nothing under them, and a connection made early waits for it.

import { KilnError } from "../../base/errors.js";
import { Pinned } from "../../base/pinned.js";
import { UndoStack } from "../../base/undo.js";
import { openDisk } from "../disk-file.js";
import { listenAt } from "../listening-socket.js";
import { socketPath } from "../socket-path.js";
import type { Descriptor } from "./plan.js";

/** Descriptors to spawn with; released at once after the spawn, when the child has its own. */
export class HandedOver implements AsyncDisposable {
  readonly #undo: UndoStack;
  readonly stdio: readonly (number | "pipe")[];

  private constructor(stdio: readonly (number | "pipe")[], undo: UndoStack) {
    this.stdio = stdio;
    this.#undo = undo;
  }

  /** @throws KilnError for a file that is not there or no file */
  static async open(descriptors: readonly Descriptor[], runDirectory: string): Promise<HandedOver> {
    const undo = new UndoStack();
    const stdio: (number | "pipe")[] = [];
    try {
      for (const descriptor of descriptors) stdio.push(await take(descriptor, runDirectory, undo));
    } catch (error) {
      await undo.rollback();
      throw error;
    }
    return new HandedOver(stdio, undo);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#undo.rollback();
  }
}

async function take(descriptor: Descriptor, runDirectory: string, undo: UndoStack): Promise<number | "pipe"> {
  switch (descriptor.kind) {
    case "filter":
    case "info":
    case "words":
      return "pipe";
    case "file": {
      const pinned = await Pinned.open(descriptor.path, { kind: descriptor.type }).catch((error: unknown) => {
        throw KilnError.from(error, `open the VM's ${descriptor.what}`);
      });
      undo.push("close a file", () => pinned.close());
      return pinned.fd;
    }
    case "opened": {
      const handle = await openDisk({ ...descriptor, device: true }).catch((error: unknown) => {
        throw KilnError.from(error, `open the VM's ${descriptor.what}`);
      });
      undo.push("close a device", () => handle.close());
      return handle.fd;
    }
    case "listener": {
      const socket = await listenAt(socketPath(runDirectory, descriptor.name));
      undo.push("close a listening socket", () => socket.close());
      return socket.fd;
    }
  }
}

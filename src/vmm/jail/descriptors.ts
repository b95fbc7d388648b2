// What a launch hands over: files opened once and looked at, and sockets that listen before the VMM exists. Their names
// stay kilnd's: the VMM can plant nothing under them, and a connection made early waits for it.

import { rename, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import { Pinned } from "../../base/pinned.js";
import { UndoStack } from "../../base/undo.js";
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
      return "pipe";
    case "file": {
      const pinned = await Pinned.open(descriptor.path, { kind: "file" }).catch((error: unknown) => {
        throw KilnError.from(error, `open the VM's ${descriptor.what}`);
      });
      undo.push("close a file", () => pinned.close());
      return pinned.fd;
    }
    case "listener": {
      const { server, fd } = await listen(runDirectory, descriptor.name);
      undo.push("close a listening socket", () => void server.close());
      return fd;
    }
  }
}

interface Listener {
  readonly server: Server;
  readonly fd: number;
}

/**
 * A listening socket of that name. Node removes the name that it was bound to when it closes the socket: the lasting
 * name is another.
 */
async function listen(runDirectory: string, name: string): Promise<Listener> {
  const path = socketPath(runDirectory, name);
  const bound = join(runDirectory, `.${name}`.slice(0, name.length));
  await rm(bound, { force: true });
  const server = createServer((early) => early.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(KilnError.from(error, `listen on ${bound}`)));
    server.listen(bound, resolve);
  });
  const fd = (server as unknown as { _handle: { fd: number } | null })._handle?.fd;
  if (fd === undefined || fd < 0) {
    server.close();
    throw new KilnError(Code.Internal, "this Node.js tells no descriptor of a listening socket", {
      reason: "no-descriptor",
    });
  }
  await rename(bound, path);
  return { server, fd };
}

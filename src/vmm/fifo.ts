// A FIFO as a one-way pipe that outlives us: the VMM holds it open for reading and writing, so it neither blocks nor
// gets SIGPIPE while nobody reads, and the kernel bounds what waits in it to 64 KiB.

import { execFile } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { chown, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { promisify } from "node:util";
import { deferred } from "../base/runtime.js";

const run = promisify(execFile);

/** Makes FIFOs anew, mode 0600, for whom the VMM runs as. */
export async function makeFifos(
  paths: readonly string[],
  owner?: { readonly uid: number; readonly gid: number },
): Promise<void> {
  for (const path of paths) await rm(path, { force: true });
  await run("mkfifo", ["-m", "600", ...paths]);
  if (owner === undefined) return;
  for (const path of paths) await chown(path, owner.uid, owner.gid);
}

/**
 * Holds a FIFO as a VMM will: until the VMM has opened it, this keeps its readers from seeing an end. `fd` can be
 * inherited.
 */
export class FifoHolder {
  readonly fd: number;
  #open = true;

  constructor(path: string) {
    this.fd = openSync(path, constants.O_RDWR);
  }

  release(): void {
    if (this.#open) closeSync(this.fd);
    this.#open = false;
  }
}

export class FifoReader {
  /** Resolves once everything has been read and the last writer has gone, or after `close`. Never rejects. */
  readonly ended: Promise<void>;
  readonly #stream: Socket;

  /** @param onData must not keep the chunk waiting */
  constructor(path: string, onData: (chunk: Buffer) => void) {
    const ended = deferred<void>();
    this.ended = ended.promise;
    // The stream owns the descriptor from here on.
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.#stream = new Socket({ fd, readable: true, writable: false });
    this.#stream.on("data", onData);
    this.#stream.on("error", () => this.#stream.destroy());
    this.#stream.once("close", () => ended.resolve());
  }

  close(): void {
    this.#stream.destroy();
  }
}

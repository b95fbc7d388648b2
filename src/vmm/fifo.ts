// A FIFO as a one-way pipe that outlives us: the VMM holds it open for reading and writing, so it neither blocks nor
// gets SIGPIPE while nobody reads, and the kernel bounds what waits in it to 64 KiB.

import { execFile } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { chown, type FileHandle, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { promisify } from "node:util";
import { Pinned } from "../base/pinned.js";
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
    // Also for who inherits it: a write to a full one fails at once.
    this.fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  }

  release(): void {
    if (this.#open) closeSync(this.fd);
    this.#open = false;
  }
}

/** For its end alone: it hangs up when the last writer has gone. @throws KilnError as `Pinned.open` */
export async function openFifo(path: string, owners: readonly number[]): Promise<FileHandle> {
  await using pinned = await Pinned.open(path, { kind: "fifo", owners });
  return await pinned.reopen(constants.O_RDONLY | constants.O_NONBLOCK);
}

export class FifoReader {
  /** Resolves once everything has been read and the last writer has gone, or after `close`. Never rejects. */
  readonly ended: Promise<void>;
  readonly #stream: Socket;

  /**
   * @param owners users that it may belong to
   * @param onData must not keep the chunk waiting
   * @throws KilnError as `Pinned.open`
   */
  static async open(
    path: string,
    owners: readonly number[],
    onData: (chunk: Buffer) => void,
  ): Promise<FifoReader> {
    await using pinned = await Pinned.open(path, { kind: "fifo", owners });
    // The stream owns the descriptor from here on.
    return new FifoReader(openSync(pinned.path, constants.O_RDONLY | constants.O_NONBLOCK), onData);
  }

  private constructor(fd: number, onData: (chunk: Buffer) => void) {
    const ended = deferred<void>();
    this.ended = ended.promise;
    this.#stream = new Socket({ fd, readable: true, writable: false });
    this.#stream.on("data", onData);
    this.#stream.on("error", () => this.#stream.destroy());
    this.#stream.once("close", () => ended.resolve());
  }

  close(): void {
    this.#stream.destroy();
  }
}

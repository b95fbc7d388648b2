// Keeps kilnd reachable: whoever removes its socket (a tidying script, a cleared run directory) would leave a kilnd that
// nobody can talk to and a data root that no other kilnd may use. So it looks after the name and makes it anew.

import { type FSWatcher, watch } from "node:fs";
import { lstat, rm } from "node:fs/promises";
import type { Server } from "node:net";
import { dirname } from "node:path";
import { errnoOf, KilnError } from "../base/errors.js";
import type { Logger } from "../base/log.js";

/** Where the kernel does not tell (no inotify left, a directory that was replaced). */
const LOOK_MS = 2_000;

export class SocketKeeper {
  readonly #path: string;
  readonly #bindAnew: () => Promise<Server>;
  readonly #log: Logger;
  readonly #more: Server[] = [];
  #inode: bigint | undefined;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #trouble = "";
  #ended = false;

  /**
   * @param bindAnew gives a listener at the path whose connections go to the server too
   */
  constructor(path: string, bindAnew: () => Promise<Server>, log: Logger) {
    this.#path = path;
    this.#bindAnew = bindAnew;
    this.#log = log;
  }

  async begin(): Promise<void> {
    this.#inode = await this.#found();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
    this.#watch();
  }

  /** Removes the socket, where it is ours, and looks after it no more. */
  async end(): Promise<void> {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#watcher?.close();
    await this.#looking;
    if (this.#inode !== undefined && (await this.#found()) === this.#inode) {
      await rm(this.#path, { force: true });
    }
    for (const server of this.#more) server.close();
  }

  #watch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    try {
      const watcher = watch(dirname(this.#path), { persistent: false }, () => this.#look());
      watcher.on("error", () => watcher.close());
      this.#watcher = watcher;
    } catch {
      // The timer looks all the same.
    }
  }

  /** One look at a time. */
  #look(): void {
    this.#looking = this.#looking.then(() => this.#restore());
  }

  async #restore(): Promise<void> {
    try {
      if (this.#ended || (await this.#found()) !== undefined) return;
      this.#more.push(await this.#bindAnew());
      this.#inode = await this.#found();
      this.#trouble = "";
      this.#log.warn("the socket had been removed and was made again", { socket: this.#path });
      this.#watch();
    } catch (error) {
      const why = KilnError.from(error).message;
      // Once for each trouble, not once for each look.
      if (why !== this.#trouble) this.#log.error("the socket was removed and can't be made again", { why });
      this.#trouble = why;
    }
  }

  /** The inode at the path, whosever it is; undefined where there is none. */
  async #found(): Promise<bigint | undefined> {
    try {
      return (await lstat(this.#path, { bigint: true })).ino;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }
}

// The handle of a VMM that could not be spoken to when kilnd came: it can be watched and ended at once, and is the real
// one from the moment on that its driver has reached it. Whoever has it notices nothing but that it works now.

import type { Duplex } from "node:stream";
import { orAborted } from "../../base/abort.js";
import type { Abortable } from "../../base/progress.js";
import { deferred } from "../../base/runtime.js";
import type { DiskSpec, VmmExit, VmmHandle, VmmPort, VmmRecord, VmmStats } from "../../vmm/types.js";

type Stall = Parameters<VmmHandle["onStall"]>[0];

export class LateHandle implements VmmHandle {
  readonly exited: Promise<VmmExit>;
  readonly consoleLog: string;
  readonly firstOutput: Promise<void>;
  readonly #exited = deferred<VmmExit>();
  readonly #reached = deferred<void>();
  readonly #stalls = new Map<Stall, () => void>();
  #inner: VmmHandle;
  #isReal = false;

  /** @param held watches and ends it, and refuses the rest */
  constructor(held: VmmHandle) {
    this.#inner = held;
    this.exited = this.#exited.promise;
    this.consoleLog = held.consoleLog;
    this.firstOutput = held.firstOutput;
    void held.exited.then((exit) => {
      if (!this.#isReal) this.#exited.resolve(exit);
    });
  }

  /** Legal once. */
  async become(real: VmmHandle): Promise<void> {
    const held = this.#inner;
    this.#inner = real;
    this.#isReal = true;
    void real.exited.then((exit) => this.#exited.resolve(exit));
    for (const listener of this.#stalls.keys()) this.#stalls.set(listener, real.onStall(listener));
    this.#reached.resolve();
    await held.detach();
  }

  get record(): VmmRecord {
    return this.#inner.record;
  }

  get disks(): ReadonlyMap<string, string> {
    return this.#inner.disks;
  }

  get ports(): ReadonlyMap<string, VmmPort> {
    return this.#inner.ports;
  }

  attachDisk(disk: DiskSpec): Promise<void> {
    return this.#inner.attachDisk(disk);
  }

  detachDisk(id: string): Promise<void> {
    return this.#inner.detachDisk(id);
  }

  growDisk(disk: DiskSpec): Promise<void> {
    return this.#inner.growDisk(disk);
  }

  get hotCards(): VmmHandle["hotCards"] {
    return this.#inner.hotCards;
  }

  /** Waits until there is a way to dial: whoever opens a session is served as soon as it can be. */
  async dialChannel(options: Abortable = {}): Promise<Duplex> {
    await orAborted(this.#reached.promise, options.signal);
    return this.#inner.dialChannel(options);
  }

  pause(): Promise<void> {
    return this.#inner.pause();
  }

  isPaused(): Promise<boolean> {
    return this.#inner.isPaused();
  }

  resume(): Promise<void> {
    return this.#inner.resume();
  }

  kill(): Promise<void> {
    return this.#inner.kill();
  }

  consoleTail(limit?: number): Promise<string> {
    return this.#inner.consoleTail(limit);
  }

  onStall(listener: Stall): () => void {
    this.#stalls.set(listener, this.#inner.onStall(listener));
    return () => drop(this.#stalls, listener);
  }

  get cardSocket(): string | undefined {
    return this.#inner.cardSocket;
  }

  get cardTap(): VmmHandle["cardTap"] {
    return this.#inner.cardTap?.bind(this.#inner);
  }

  onCardLost(listener: () => void): () => void {
    return this.#inner.onCardLost(listener);
  }

  join(pid: number): Promise<void> {
    return this.#inner.join(pid);
  }

  stats(): Promise<VmmStats> {
    return this.#inner.stats();
  }

  setBalloon(bytes: number): Promise<void> {
    return this.#inner.setBalloon(bytes);
  }

  detach(): Promise<void> {
    return this.#inner.detach();
  }
}

function drop<T>(listeners: Map<T, () => void>, listener: T): void {
  listeners.get(listener)?.();
  listeners.delete(listener);
}

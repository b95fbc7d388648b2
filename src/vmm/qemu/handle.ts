// One running QEMU: the VmmHandle over its QMP, console and channel sockets.

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Code, KilnError } from "../../base/errors.js";
import { connectPinned } from "../../base/pinned.js";
import type { Abortable } from "../../base/progress.js";
import type { HotCards } from "../card-spec.js";
import type { ConsoleLog } from "../console-log.js";
import type { DiskSerials } from "../disk-serials.js";
import { ExclusiveChannel } from "../exclusive-channel.js";
import type { DiskSpec, VmmCards, VmmExit, VmmHandle, VmmPort, VmmRecord, VmmStats } from "../types.js";
import type { ProcessEnd, VmmProcess } from "../vmm-process.js";
import { QmpClient, type QmpConnectOptions, type QmpEvent } from "./client.js";
import type { QemuSockets } from "./config.js";
import { judgeExit } from "./exit-cause.js";
import { QemuHotCards } from "./hot-cards.js";
import { HotDisks } from "./hot-disks.js";
import { type KeptConnection, keepOpen } from "./keep-open.js";
import { StallWatch } from "./stall.js";

/** QEMU answers `quit` within 10 ms; a stuck one gets SIGKILL. */
const QUIT_MS = 1000;
/** After the process has gone, its last events are already in our socket's buffer. */
const LAST_EVENTS_MS = 1000;

export interface QemuHandleParts {
  readonly record: VmmRecord;
  readonly sockets: QemuSockets;
  /** Users that they may belong to: kilnd's, and of a VM of an earlier release its own. */
  readonly owners: readonly number[];
  readonly process: VmmProcess;
  readonly log: ConsoleLog;
  readonly disks: DiskSerials;
  readonly ports: ReadonlyMap<string, VmmPort>;
  readonly memoryBytes: number;
  /** Path of `kiln-sendfd`, where there is one. */
  readonly sendfd: string | undefined;
  readonly join: VmmCards["join"];
}

export class QemuHandle implements VmmHandle {
  readonly record: VmmRecord;
  readonly disks: Map<string, string>;
  readonly ports: ReadonlyMap<string, VmmPort>;
  readonly exited: Promise<VmmExit>;
  readonly firstOutput: Promise<void>;
  readonly consoleLog: string;
  readonly cardSocket: string | undefined;
  readonly cardTap = undefined;
  readonly #parts: QemuHandleParts;
  readonly #channel: ExclusiveChannel;
  readonly #stall = new StallWatch(() => this.#qmp.execute("cont"));
  readonly #hotDisks: HotDisks;
  readonly #hotCards: QemuHotCards;
  readonly #leaving = new AbortController();
  readonly #cardListeners = new Set<() => void>();
  #client: QmpClient | undefined;
  #console: Socket | undefined;
  #shutdownReason: string | undefined;
  #panicked = false;
  #killed = false;
  #detached = false;
  #gone = false;

  constructor(parts: QemuHandleParts) {
    this.#parts = parts;
    this.record = parts.record;
    this.disks = new Map(parts.disks);
    const hot = { qmp: () => this.#qmp, sendfd: parts.sendfd };
    this.#hotDisks = new HotDisks({ ...hot, serials: this.disks });
    this.#hotCards = new QemuHotCards(hot);
    this.ports = parts.ports;
    this.firstOutput = parts.log.firstOutput;
    this.consoleLog = parts.log.path;
    this.cardSocket = hasStream(parts.record) ? parts.sockets.net : undefined;
    this.#channel = new ExclusiveChannel(() => connectPinned(parts.sockets.channel, parts.owners));
    this.exited = parts.process.ended.then((end) => this.#afterEnd(end));
  }

  /**
   * Takes the control and console sockets; legal once. The guest's state is as it was. A connection that breaks while
   * QEMU lives, or that QEMU misuses, is opened again.
   */
  async connect(options: QmpConnectOptions): Promise<void> {
    const control = await this.#openControl(options);
    const console = await this.#openConsole();
    const { signal } = this.#leaving;
    void keepOpen(control, () => this.#reopenControl(signal), signal);
    void keepOpen(console, () => this.#openConsole(), signal);
  }

  async #openControl(options: QmpConnectOptions): Promise<QmpClient> {
    const { process, sockets, owners } = this.#parts;
    const client = await QmpClient.connect(sockets.qmp, (event) => this.#take(event), { ...options, owners });
    this.#client = client;
    void client.closed.then(() => process.expectEnd());
    if (this.#leaving.signal.aborted) client.close();
    return client;
  }

  /** With what QEMU told nobody meanwhile. */
  async #reopenControl(signal: AbortSignal): Promise<QmpClient> {
    const client = await this.#openControl({ signal });
    if ((await this.status()) === "io-error") this.beginStalled();
    return client;
  }

  async #openConsole(): Promise<KeptConnection> {
    const { sockets, owners, log } = this.#parts;
    const socket = await connectPinned(sockets.console, owners);
    this.#console = socket;
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.on("data", (chunk: Buffer) => log.write(chunk));
    socket.on("error", () => undefined);
    if (this.#leaving.signal.aborted) socket.destroy();
    return { closed };
  }

  /** QEMU's word for the guest's state: "running", "paused", "prelaunch", "io-error", ... */
  async status(): Promise<string> {
    const answer = (await this.#qmp.execute("query-status")) as { status?: unknown };
    return String(answer.status);
  }

  /** Lets a guest run that was made stopped. */
  async begin(): Promise<void> {
    await this.#qmp.execute("cont");
  }

  /** A reattached guest that had been stopped for want of disk. */
  beginStalled(): void {
    this.#stall.begin("the host's disk is full");
  }

  /** Which disks it has by now, of one that an earlier kilnd has launched. */
  findDisks(): Promise<void> {
    return this.#hotDisks.find();
  }

  attachDisk(disk: DiskSpec): Promise<void> {
    return this.#do(`attach disk ${disk.id}`, () => this.#hotDisks.attach(disk));
  }

  detachDisk(id: string): Promise<void> {
    return this.#do(`detach disk ${id}`, () => this.#hotDisks.detach(id));
  }

  growDisk(disk: DiskSpec): Promise<void> {
    return this.#do(`grow disk ${disk.id}`, () => this.#hotDisks.grow(disk));
  }

  readonly hotCards: HotCards = {
    find: (id) => this.#do(`look for card ${id}`, () => this.#hotCards.find(id)),
    attach: (card) => this.#do(`attach card ${card.id}`, () => this.#hotCards.attach(card)),
    cut: (id) => this.#do(`cut card ${id} off`, () => this.#hotCards.cut(id)),
    remove: (id) => this.#do(`take card ${id} out`, () => this.#hotCards.remove(id)),
  };

  async dialChannel(options: Abortable = {}): Promise<Duplex> {
    if (this.#gone) throw this.#ended("dial the agent");
    return this.#channel.dial(options);
  }

  async isPaused(): Promise<boolean> {
    return (await this.status()) === "paused";
  }

  async pause(): Promise<void> {
    const before = this.#stall.held;
    this.#stall.held = true;
    try {
      await this.#do("pause", () => this.#qmp.execute("stop"));
    } catch (error) {
      // A guest that was not paused goes on by itself once there is room on the disk.
      this.#stall.held = before;
      throw error;
    }
  }

  async resume(): Promise<void> {
    await this.#do("resume", async () => {
      this.#stall.held = false;
      await this.#qmp.execute("cont");
    });
  }

  async kill(): Promise<void> {
    this.#killed = true;
    const { process } = this.#parts;
    const timer = setTimeout(() => void process.kill(), QUIT_MS);
    try {
      // A closed connection is what a successful quit may look like: only the process tells.
      await this.#client?.execute("quit", undefined, QUIT_MS).catch(() => undefined);
      await process.expectEnd();
      await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  consoleTail(limit?: number): Promise<string> {
    return this.#parts.log.tail(limit);
  }

  stats(): Promise<VmmStats> {
    return this.#parts.process.stats();
  }

  async setBalloon(bytes: number): Promise<void> {
    await this.#do("change the memory", () =>
      this.#qmp.execute("balloon", { value: this.#parts.memoryBytes - bytes }),
    );
  }

  onStall(listener: (why: string | undefined) => void): () => void {
    return this.#stall.listen(listener);
  }

  onCardLost(listener: () => void): () => void {
    this.#cardListeners.add(listener);
    return () => this.#cardListeners.delete(listener);
  }

  join(pid: number): Promise<void> {
    return this.#parts.join(pid);
  }

  async detach(): Promise<void> {
    this.#detached = true;
    this.#parts.process.release();
    await this.#letGo();
  }

  get #qmp(): QmpClient {
    if (this.#client === undefined) throw this.#ended("control the VM");
    return this.#client;
  }

  async #do<T>(what: string, action: () => Promise<T>): Promise<T> {
    if (this.#gone) throw this.#ended(what);
    try {
      return await action();
    } catch (error) {
      const known = KilnError.from(error, what);
      if (this.#gone || this.#client?.ended !== true) throw known;
      throw new KilnError(Code.Unavailable, `${known.message}; it is connected to again`, {
        reason: "vmm-unreachable",
        hint: "try again in a moment; where that does not help, `kiln kill` ends the VM",
        cause: error,
      });
    }
  }

  #take(event: QmpEvent): void {
    if (event.name === "SHUTDOWN") this.#shutdownReason = String(event.data.reason);
    else if (event.name === "GUEST_PANICKED") this.#panicked = true;
    else if (event.name === "NETDEV_STREAM_DISCONNECTED") {
      for (const listener of this.#cardListeners) listener();
    } else {
      this.#hotDisks.take(event);
      this.#hotCards.take(event);
      this.#stall.take(event);
    }
  }

  async #afterEnd(end: ProcessEnd): Promise<VmmExit> {
    // The process's end and its last event reach us by different ways: the event may be the later.
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_EVENTS_MS);
    });
    await Promise.race([this.#client?.closed, patience]);
    clearTimeout(timer);
    this.#gone = true;
    // The VM has ended whatever becomes of this: all that waits for its end has to hear of it.
    const clearing = this.#detached ? undefined : this.#letGo();
    const flaw = await clearing?.then(
      () => undefined,
      (error: unknown) => KilnError.from(error).message,
    );
    const exit = judgeExit({
      shutdownReason: this.#shutdownReason,
      panicked: this.#panicked,
      killed: this.#killed,
      watched: this.#client !== undefined,
      end,
      stderr: this.#parts.process.stderrTail(),
    });
    return flaw === undefined ? exit : { ...exit, detail: `${exit.detail}; not cleared up: ${flaw}` };
  }

  async #letGo(): Promise<void> {
    this.#leaving.abort();
    this.#stall.stop();
    this.#channel.close();
    this.#client?.close();
    this.#console?.destroy();
    await this.#parts.log.close();
  }

  #ended(what: string): KilnError {
    return new KilnError(Code.FailedPrecondition, `${what}: the VMM has ended`, { reason: "vmm-gone" });
  }
}

/** What says that this VM's card is a stream to something outside QEMU. Earlier kilnds go by it too. */
export const STREAM_FACT = { userNetwork: "passt" } as const;

/** The first releases had their network inside QEMU. */
function hasStream({ facts }: VmmRecord): boolean {
  return facts.userNetwork !== undefined;
}

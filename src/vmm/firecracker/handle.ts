// One running Firecracker: the VmmHandle over its API socket, vsock socket and FIFOs.

import { rm } from "node:fs/promises";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Code, KilnError } from "../../base/errors.js";
import { connectPinned } from "../../base/pinned.js";
import type { Abortable } from "../../base/progress.js";
import { NO_CARDS } from "../cards.js";
import type { ConsoleLog } from "../console-log.js";
import type { DiskSerials } from "../disk-serials.js";
import { ExclusiveChannel } from "../exclusive-channel.js";
import { FifoReader, openFifo } from "../fifo.js";
import type {
  DiskSpec,
  TapHolder,
  VmmCards,
  VmmExit,
  VmmHandle,
  VmmPort,
  VmmRecord,
  VmmStats,
} from "../types.js";
import type { ProcessEnd, VmmProcess } from "../vmm-process.js";
import { callApi, dialVsock } from "./client.js";
import { CHANNEL_PORT } from "./config.js";
import { DialPatience } from "./dial-patience.js";
import { judgeExit } from "./exit-cause.js";
import { HotDrives } from "./hot-drives.js";
import { removeRecordedJail } from "./jailer.js";
import { LogWatch } from "./log-watch.js";
import { MetricsReader } from "./metrics.js";
import type { FirecrackerPaths } from "./paths.js";
import { continueProcess, isStopped, pauseWay, stopProcess } from "./pause.js";

const MIB = 1024 * 1024;

export interface FirecrackerHandleParts {
  readonly record: VmmRecord;
  readonly paths: FirecrackerPaths;
  /** Users that its sockets and FIFOs may belong to. */
  readonly owners: readonly number[];
  readonly process: VmmProcess;
  readonly log: ConsoleLog;
  readonly disks: DiskSerials;
  readonly ports: ReadonlyMap<string, VmmPort>;
  /** Where the disks are that came since its launch. */
  readonly hotDirectory: string;
  readonly join: VmmCards["join"];
  /** Its guest runs, and so it has its tap; rejects where the launch failed before. */
  readonly runs: Promise<void>;
}

export class FirecrackerHandle implements VmmHandle {
  readonly record: VmmRecord;
  readonly disks: Map<string, string>;
  readonly ports: ReadonlyMap<string, VmmPort>;
  readonly exited: Promise<VmmExit>;
  readonly firstOutput: Promise<void>;
  readonly consoleLog: string;
  readonly #parts: FirecrackerHandleParts;
  readonly #channel: ExclusiveChannel;
  readonly #words = new LogWatch();
  readonly #hotDrives: HotDrives;
  readonly #metrics = new MetricsReader();
  readonly #readers: FifoReader[] = [];
  readonly #patience = new DialPatience();
  #watch: Socket | undefined;
  #killed = false;
  #detached = false;
  #gone = false;

  constructor(parts: FirecrackerHandleParts) {
    this.#parts = parts;
    this.record = parts.record;
    this.disks = new Map(parts.disks);
    this.#hotDrives = new HotDrives({
      directory: parts.hotDirectory,
      call: (method, path, body) => this.#call(method, path, body),
      serials: this.disks,
    });
    this.ports = parts.ports;
    this.firstOutput = parts.log.firstOutput;
    this.consoleLog = parts.log.path;
    this.#channel = new ExclusiveChannel((options) => this.#dial(options));
    // Heard by whoever asks for the tap.
    parts.runs.catch(() => undefined);
    this.exited = parts.process.ended.then((end) => this.#afterEnd(end));
  }

  /** Firecracker's last words, for a launch that failed. */
  get lastWords(): string {
    return [this.#words.lastWords(), this.#parts.process.stderrTail()]
      .filter((text) => text !== "")
      .join("; ");
  }

  /** Resolves once its log says that the guest runs. */
  get saysStarted(): Promise<void> {
    return this.#words.started;
  }

  /** Reads console, log and metrics; legal once, while somebody holds the FIFOs. */
  async read(): Promise<void> {
    const { paths, owners, log } = this.#parts;
    const sources = [
      [paths.console, (chunk: Buffer) => log.write(chunk)],
      [paths.log, (chunk: Buffer) => this.#words.take(chunk)],
      [paths.metrics, (chunk: Buffer) => this.#metrics.take(chunk)],
    ] as const;
    for (const [path, take] of sources) this.#readers.push(await FifoReader.open(path, owners, take));
  }

  /** Holds a connection to the API whose end tells of Firecracker's end at once. Throws while nobody listens. */
  async watch(): Promise<void> {
    const { paths, owners } = this.#parts;
    const socket = await connectPinned(paths.api, owners);
    socket.on("error", () => undefined);
    socket.once("close", () => void this.#parts.process.expectEnd());
    socket.resume();
    this.#watch = socket;
  }

  /** "Not started", "Running" or "Paused". */
  async state(): Promise<string> {
    if (await isStopped(this.#parts.process)) return "Paused";
    const answer = (await this.#call("GET", "/")) as { state?: unknown } | undefined;
    return String(answer?.state);
  }

  /** Which disks it has by now, of one that an earlier kilnd has launched. */
  async findDisks(): Promise<void> {
    // One that is stopped answers when it goes on; its disks of the launch are in the record.
    if (!(await isStopped(this.#parts.process))) await this.#hotDrives.find();
  }

  attachDisk(disk: DiskSpec): Promise<void> {
    return this.#change(`attach disk ${disk.id}`, () => this.#hotDrives.attach(disk));
  }

  detachDisk(id: string): Promise<void> {
    return this.#change(`detach disk ${id}`, () => this.#hotDrives.detach(id));
  }

  growDisk(disk: DiskSpec): Promise<void> {
    return this.#change(`grow disk ${disk.id}`, () => this.#hotDrives.grow(disk));
  }

  /** For what one that was stopped by a signal would not answer. */
  async #change(what: string, action: () => Promise<unknown>): Promise<void> {
    if (!this.#gone && (await isStopped(this.#parts.process))) throw paused(what);
    await this.#do(what, action);
  }

  async dialChannel(options: Abortable = {}): Promise<Duplex> {
    if (this.#gone) throw ended("dial the agent");
    return this.#channel.dial(options);
  }

  async isPaused(): Promise<boolean> {
    return (await this.state()) === "Paused";
  }

  async pause(): Promise<void> {
    const way = pauseWay(this.record.facts.version);
    await this.#do("pause", () =>
      way === "signal" ? stopProcess(this.#parts.process) : this.#call("PATCH", "/vm", { state: "Paused" }),
    );
  }

  async resume(): Promise<void> {
    // Asked of the process: an earlier kilnd may have paused it the other way.
    await this.#do("resume", async () =>
      (await isStopped(this.#parts.process))
        ? continueProcess(this.#parts.process)
        : this.#call("PATCH", "/vm", { state: "Resumed" }),
    );
  }

  /** SIGKILL: Firecracker has no fast way of its own, and nothing to flush. */
  async kill(): Promise<void> {
    this.#killed = true;
    await this.#parts.process.kill();
    await this.exited;
  }

  consoleTail(limit?: number): Promise<string> {
    return this.#parts.log.tail(limit);
  }

  async stats(): Promise<VmmStats> {
    const stats = await this.#parts.process.stats();
    if (await isStopped(this.#parts.process)) return { ...stats, traffic: this.#metrics.traffic };
    // Refused before the guest runs; the counters are then those of the minute before.
    await this.#call("PUT", "/actions", { action_type: "FlushMetrics" }).catch(() => undefined);
    return { ...stats, traffic: this.#metrics.traffic };
  }

  async setBalloon(bytes: number): Promise<void> {
    const amount_mib = Math.ceil(bytes / MIB);
    await this.#change("change the memory", () => this.#call("PATCH", "/balloon", { amount_mib }));
  }

  /** Firecracker hands a failed write to the guest: it never stalls. */
  onStall(): () => void {
    return () => undefined;
  }

  /** It knows taps only. */
  readonly cardSocket = NO_CARDS.cardSocket;

  /** Its log is what it holds open to its end. */
  async cardTap(): Promise<TapHolder> {
    const { runs, process: vmm, paths, owners } = this.#parts;
    await runs;
    return { pid: vmm.id.pid, alive: () => openFifo(paths.log, owners) };
  }

  onCardLost(listener: () => void): () => void {
    return NO_CARDS.onCardLost(listener);
  }

  join(pid: number): Promise<void> {
    return this.#parts.join(pid);
  }

  async detach(): Promise<void> {
    this.#detached = true;
    this.#parts.process.release();
    await this.#letGo();
  }

  /** A guest that an earlier kilnd has booted answers, if slowly: its dials get their whole time. */
  expectAnswers(): void {
    this.#patience.answered();
  }

  async #dial(options: Abortable): Promise<Socket> {
    const { paths, owners } = this.#parts;
    const timeoutMs = this.#patience.next();
    const socket = await dialVsock(paths.vsock, CHANNEL_PORT, { ...options, owners, timeoutMs });
    this.#patience.answered();
    return socket;
  }

  #call(
    method: "GET" | "PUT" | "PATCH",
    path: string,
    body?: Readonly<Record<string, unknown>>,
  ): Promise<unknown> {
    const { paths, owners } = this.#parts;
    return callApi(paths.api, method, path, body, owners);
  }

  async #do(what: string, action: () => Promise<unknown>): Promise<void> {
    if (this.#gone) throw ended(what);
    try {
      await action();
    } catch (error) {
      throw KilnError.from(error, what);
    }
  }

  async #afterEnd(end: ProcessEnd): Promise<VmmExit> {
    this.#gone = true;
    // The last words may still be in the FIFOs; with Firecracker gone they end.
    await Promise.all(this.#readers.map((reader) => reader.ended));
    if (!this.#detached) {
      await this.#letGo();
      // Its links would keep the space of files that are removed meanwhile. What cannot go now goes at the next start.
      await removeRecordedJail(this.record.facts).catch(() => undefined);
      await rm(this.#parts.hotDirectory, { recursive: true, force: true }).catch(() => undefined);
    }
    return judgeExit({
      end,
      killed: this.#killed,
      endedCleanly: this.#words.endedCleanly,
      watched: this.#readers.length > 0,
      words: this.lastWords,
    });
  }

  async #letGo(): Promise<void> {
    this.#channel.close();
    this.#watch?.destroy();
    for (const reader of this.#readers) reader.close();
    await this.#parts.log.close();
  }
}

function paused(what: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `${what}: the VM is paused`, { reason: "vm-paused" });
}

function ended(what: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `${what}: the VMM has ended`, { reason: "vmm-gone" });
}

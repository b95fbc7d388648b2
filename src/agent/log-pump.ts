// Carries a program's output from the agent to whoever stores it. Only what is stored is acknowledged, so a
// kilnd that is killed leaves no gap; only what follows the last stored byte is taken, so it leaves no repeat.

import { Code, KilnError } from "../base/errors.js";
import type { Abortable } from "../base/progress.js";
import { boundedCount } from "./guest-numbers.js";
import type { LogPiece, WorkloadCalls } from "./workloads.js";

export interface LogChunk {
  /** Of the first byte of data; counts bytes over both streams since the boot. */
  readonly sequence: bigint;
  readonly stream: "stdout" | "stderr";
  readonly timeNs: bigint;
  readonly data: Uint8Array;
}

/** Stores chunks; what it has taken is acknowledged. */
export type LogSink = (chunks: readonly LogChunk[]) => Promise<void>;

/** The part of a program's calls that its output goes by. */
export type LogSource = Pick<WorkloadCalls, "logs" | "ackLogs">;

const MOST_DATA = 64 * 1024;
/** Bytes that may wait for the sink: then the agent, and so the program, waits. */
const MOST_QUEUED = 256 * 1024;

/**
 * Resolves after the last byte of a program that has ended.
 *
 * @param from the sequence number of the first byte that is not stored yet. Where the agent has forgotten that one, since it
 * was stored and acknowledged once and is lost here, it begins with the oldest that it has
 * @throws KilnError data_loss `log-gap` where the agent leaves bytes out or repeats them; whatever breaks the session
 */
export async function pumpLogs(
  source: LogSource,
  from: bigint,
  sink: LogSink,
  options: Abortable = {},
): Promise<void> {
  const abort = new AbortController();
  const signals = options.signal === undefined ? [abort.signal] : [abort.signal, options.signal];
  const store = new Storer(source, sink, () => abort.abort());
  let next: bigint | undefined;
  try {
    for await (const response of source.logs(from, { signal: AbortSignal.any(signals) })) {
      const chunk = fromResponse(response, next ?? (response.sequence > from ? response.sequence : from));
      next = chunk.sequence + BigInt(chunk.data.length);
      await store.take(chunk);
    }
    await store.drain();
  } catch (error) {
    throw store.failure ?? error;
  } finally {
    abort.abort();
  }
}

function fromResponse(response: LogPiece, next: bigint): LogChunk {
  const { sequence, stream, timeUnixNs, data } = response;
  // Where it begins is the agent's to say: but no program comes to numbers that can't be counted on from.
  const odd = sequence !== next || boundedCount(sequence) !== sequence;
  if (odd || data.length === 0 || data.length > MOST_DATA) {
    throw new KilnError(
      Code.DataLoss,
      `the agent sent ${data.length} bytes of output at ${sequence} where ${next} was expected`,
      { reason: "log-gap" },
    );
  }
  return { sequence, stream, timeNs: timeUnixNs, data };
}

/** Stores and acknowledges beside the reading, many chunks at a time when they come fast. */
class Storer {
  failure: unknown;
  readonly #source: LogSource;
  readonly #sink: LogSink;
  readonly #onFailure: () => void;
  #queued: LogChunk[] = [];
  #queuedBytes = 0;
  #writing: Promise<void> | undefined;

  constructor(source: LogSource, sink: LogSink, onFailure: () => void) {
    this.#source = source;
    this.#sink = sink;
    this.#onFailure = onFailure;
  }

  /** Waits only while too much is queued. */
  async take(chunk: LogChunk): Promise<void> {
    this.#queued.push(chunk);
    this.#queuedBytes += chunk.data.length;
    this.#writing ??= this.#write();
    if (this.#queuedBytes > MOST_QUEUED) await this.drain();
    if (this.failure !== undefined) throw this.failure;
  }

  async drain(): Promise<void> {
    await this.#writing;
    if (this.failure !== undefined) throw this.failure;
  }

  async #write(): Promise<void> {
    try {
      while (this.#queued.length > 0) {
        const chunks = this.#queued;
        this.#queued = [];
        this.#queuedBytes = 0;
        await this.#sink(chunks);
        await this.#acknowledge(chunks.at(-1));
      }
    } catch (error) {
      this.failure = error;
      this.#onFailure();
    } finally {
      this.#writing = undefined;
    }
  }

  async #acknowledge(last: LogChunk | undefined): Promise<void> {
    if (last === undefined) return;
    await this.#source.ackLogs(last.sequence + BigInt(last.data.length));
  }
}

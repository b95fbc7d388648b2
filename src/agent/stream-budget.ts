// How many calls of each kind one session may have open. The agent serves a bounded number of streams in all: what
// comes in any number (connections to ports, execs, copies, questions) has a part of them each, and the rest is the
// engine's own, so that nothing of a user's keeps it from the guest's output, its end, or from stopping it.

import { type Code as ConnectCode, ConnectError, type Interceptor } from "@connectrpc/connect";
import { onAbort } from "../base/abort.js";
import { Code, KilnError } from "../base/errors.js";
import { delay } from "../base/runtime.js";

/** Kinds whose number others choose. What is in none of them is the engine's own. */
type Kind = "connections" | "flows" | "execs" | "files" | "watches" | "inputs" | "questions";

interface Share {
  /** Of the streams that the agent serves, in 32nds. */
  readonly part: number;
  /** How long a call may wait for another of its kind to end, milliseconds. */
  readonly patienceMs: number;
  readonly reason: string;
  /** For messages. */
  readonly what: string;
}

/** 28 parts of 32: an eighth is kept for the engine. */
const SHARES: Readonly<Record<Kind, Share>> = {
  connections: {
    part: 12,
    patienceMs: 10_000,
    reason: "too-many-connections",
    what: "connections through published ports",
  },
  flows: {
    part: 4,
    patienceMs: 2_000,
    reason: "too-many-connections",
    what: "UDP flows through published ports",
  },
  execs: { part: 6, patienceMs: 30_000, reason: "too-many-execs", what: "execs" },
  files: { part: 2, patienceMs: 30_000, reason: "too-many-copies", what: "copies" },
  watches: { part: 1, patienceMs: 2_000, reason: "too-many-watches", what: "watched paths" },
  inputs: { part: 1, patienceMs: 10_000, reason: "too-many-attached", what: "attached inputs" },
  questions: { part: 2, patienceMs: 10_000, reason: "too-many-calls", what: "calls" },
};
const PARTS = 32;
/** More than an agent of ours serves is not believed. */
const MOST_STREAMS = 2048;

const KINDS: Readonly<Record<string, Kind>> = {
  Dial: "connections",
  Exec: "execs",
  ReadArchive: "files",
  WriteArchive: "files",
  ListDirectory: "files",
  RemovePath: "files",
  WatchPath: "watches",
  Stdin: "inputs",
  Input: "inputs",
  WriteWorkloadInput: "inputs",
  StatPath: "questions",
  MakeDirectory: "questions",
  RenamePath: "questions",
  Stats: "questions",
  Sync: "questions",
  Resize: "questions",
  ResizeWorkload: "questions",
};

/** Says which kind of connection a Dial is: one call serves both. */
export const FLOW_HEADER = "kiln-flow";

interface Waiting {
  readonly go: () => void;
}

export class StreamBudget {
  readonly #streams: () => number;
  readonly #open = new Map<Kind, number>();
  readonly #waiting = new Map<Kind, Set<Waiting>>();

  /** @param streams that the agent serves now */
  constructor(streams: () => number) {
    this.#streams = streams;
  }

  /** Of a kind, now. */
  open(kind: Kind): number {
    return this.#open.get(kind) ?? 0;
  }

  most(kind: Kind): number {
    const streams = Math.min(this.#streams(), MOST_STREAMS);
    return Math.max(1, Math.floor((streams * SHARES[kind].part) / PARTS));
  }

  /**
   * Waits for a place, in the order of asking, and gives it back when the signal aborts.
   *
   * @throws KilnError resource_exhausted `too-many-execs` and the like; the signal's reason
   */
  async take(kind: Kind, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const queue = this.#queue(kind);
    if (queue.size > 0 || this.open(kind) >= this.most(kind)) await this.#wait(kind, queue, signal);
    else this.#open.set(kind, this.open(kind) + 1);
    // It may have aborted while this waited for the place.
    onAbort(signal, () => this.#release(kind));
    signal.throwIfAborted();
  }

  async #wait(kind: Kind, queue: Set<Waiting>, signal: AbortSignal): Promise<void> {
    const { patienceMs } = SHARES[kind];
    if (queue.size >= this.most(kind)) throw this.#tooMany(kind);
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    let mine = false;
    const waiting: Waiting = {
      go: () => {
        mine = true;
        over.abort();
      },
    };
    queue.add(waiting);
    await delay(patienceMs, either).catch(() => undefined);
    over.abort();
    queue.delete(waiting);
    if (mine) return;
    signal.throwIfAborted();
    throw this.#tooMany(kind);
  }

  #release(kind: Kind): void {
    this.#open.set(kind, this.open(kind) - 1);
    for (const waiting of this.#queue(kind)) {
      if (this.open(kind) >= this.most(kind)) return;
      this.#open.set(kind, this.open(kind) + 1);
      this.#queue(kind).delete(waiting);
      waiting.go();
    }
  }

  #queue(kind: Kind): Set<Waiting> {
    const queue = this.#waiting.get(kind) ?? new Set<Waiting>();
    this.#waiting.set(kind, queue);
    return queue;
  }

  #tooMany(kind: Kind): KilnError {
    const { reason, what } = SHARES[kind];
    return new KilnError(Code.ResourceExhausted, `the VM has ${this.most(kind)} ${what} open, and no more`, {
      reason,
      hint: "wait until some of them have ended",
    });
  }
}

/** Every call passes here, so none can be forgotten. */
export function budgeted(budget: StreamBudget): Interceptor {
  return (next) => async (request) => {
    let kind = KINDS[request.method.name];
    if (kind === "connections" && request.header.has(FLOW_HEADER)) kind = "flows";
    if (kind !== undefined) await taken(budget, kind, request.signal);
    return next(request);
  };
}

/** The call's signal aborts when the call has ended, however it did: that gives the place back. */
async function taken(budget: StreamBudget, kind: Kind, signal: AbortSignal): Promise<void> {
  try {
    await budget.take(kind, signal);
  } catch (error) {
    if (!(error instanceof KilnError)) throw error;
    throw new ConnectError(error.message, error.code as number as ConnectCode, undefined, undefined, error);
  }
}

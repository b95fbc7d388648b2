// One program's stdin, output and end over a call: what exec and attach have in common. Nothing is read from kilnd until
// somebody asks for output, so a slow reader stops the program in the guest instead of filling memory.

import { Code, KilnError } from "../base/errors.js";
import { type Deferred, deferred } from "../base/runtime.js";
import type { OutputJson } from "../gen/kiln/v1/process_pb.js";
import { noExitCode } from "./call-failure.js";
import type { TerminalSize } from "./vm-options.js";

/** Bytes of stdin in one message. */
const STDIN_CHUNK_BYTES = 64 * 1024;

/** Output as it came: 1 is stdout, 2 is stderr. On a terminal everything is 1. */
export interface OutputChunk {
  readonly fd: 1 | 2;
  readonly data: Uint8Array;
}

/** What goes to the program, in the form that ExecRequest and AttachRequest share. */
export interface InputJson {
  stdin?: string;
  stdinEof?: boolean;
  resize?: TerminalSize;
  signal?: string;
}

/** The call below: a WireStream, or a fake in tests. */
export interface ProcessWire<Message> {
  send(message: InputJson): Promise<void>;
  end(): void;
  cancel(): void;
  messages(): AsyncGenerator<Message, void>;
  /** True while the program can't be reached. */
  readonly unreachable?: boolean;
  /** True once it is known that the program runs, or has run. */
  readonly begun?: boolean;
  /** Told when kilnd goes away. */
  onAway?: (() => void) | undefined;
}

/** One message from kilnd, read. */
export type ProcessEvent<Started, Exit> =
  | { readonly kind: "started"; readonly started: Started }
  | { readonly kind: "output"; readonly output: OutputJson }
  | { readonly kind: "exit"; readonly exit: Exit }
  /** The VM stands still, and why; empty: it goes on. */
  | { readonly kind: "stalled"; readonly message: string }
  | { readonly kind: "unknown" };

/** A running program, seen from here. Iterate it for output, once; leaving the loop early ends the call. */
export class ProcessStream<Message, Started, Exit> implements AsyncIterable<OutputChunk>, AsyncDisposable {
  readonly #wire: ProcessWire<Message>;
  readonly #decode: (message: Message) => ProcessEvent<Started, Exit>;
  readonly #pump: AsyncGenerator<OutputChunk, void>;
  readonly #started: Deferred<Started> = deferred();
  readonly #exit: Deferred<Exit> = deferred();
  /** The output that `started()` had to read ahead. */
  #ahead: Promise<IteratorResult<OutputChunk, void>> | undefined;
  #consumed = false;
  #heard = false;
  /** Told once each time that the VM stands still through nobody's wish. */
  onStalled: ((message: string) => void) | undefined;

  constructor(wire: ProcessWire<Message>, decode: (message: Message) => ProcessEvent<Started, Exit>) {
    this.#wire = wire;
    this.#decode = decode;
    this.#pump = this.#read();
    // A call that fails unobserved must not end the process.
    this.#started.promise.catch(() => undefined);
    this.#exit.promise.catch(() => undefined);
  }

  /** True once somebody reads the output. */
  protected get consumed(): boolean {
    return this.#consumed;
  }

  /** True once kilnd has said that it runs. */
  protected get heard(): boolean {
    return this.#heard;
  }

  /** True while nothing reaches the program: kilnd is away, or the VM stands still (a full disk of the host). */
  get unreachable(): boolean {
    return this.#wire.unreachable ?? false;
  }

  /** True once the program runs, or has run: a failure from then on leaves it as it is. */
  get begun(): boolean {
    return this.#wire.begun ?? false;
  }

  /** Told each time that kilnd goes away while the program is to be gone on with. */
  set onAway(told: (() => void) | undefined) {
    this.#wire.onAway = told;
  }

  /** Resolves when kilnd says that it runs. */
  protected started(): Promise<Started> {
    if (!this.#consumed) this.#ahead ??= this.#pump.next();
    this.#ahead?.catch(() => undefined); // told through #started
    return this.#started.promise;
  }

  /** Resolves at the end; output that nobody reads is dropped. */
  protected async ended(): Promise<Exit> {
    if (!this.#consumed) for await (const _ of this);
    return this.#exit.promise;
  }

  /** Writes to the program's stdin; resolves when it may be given more. */
  async writeStdin(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.byteLength; at += STDIN_CHUNK_BYTES) {
      const length = Math.min(STDIN_CHUNK_BYTES, data.byteLength - at);
      const chunk = Buffer.from(data.buffer, data.byteOffset + at, length);
      await this.#wire.send({ stdin: chunk.toString("base64") });
    }
  }

  /** Closes the program's stdin. */
  closeStdin(): Promise<void> {
    return this.#wire.send({ stdinEof: true });
  }

  /** Tells the program's terminal its size. */
  resize(size: TerminalSize): Promise<void> {
    return this.#wire.send({ resize: { columns: size.columns, rows: size.rows } });
  }

  /** Sends a signal to the program: "SIGTERM", "TERM" or "15". Default SIGKILL. */
  kill(signal = "SIGKILL"): Promise<void> {
    return this.#wire.send({ signal });
  }

  /** Ends the call. */
  async close(): Promise<void> {
    this.#wire.cancel();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [Symbol.asyncIterator](): AsyncIterator<OutputChunk, void> {
    if (this.#consumed) {
      throw new KilnError(Code.FailedPrecondition, "read a program's output: it is already being read", {
        reason: "output-already-read",
      });
    }
    this.#consumed = true;
    return {
      next: () => {
        const ahead = this.#ahead;
        this.#ahead = undefined;
        return ahead ?? this.#pump.next();
      },
      return: async () => {
        this.#wire.cancel();
        await this.#pump.return();
        return { done: true, value: undefined };
      },
    };
  }

  async *#read(): AsyncGenerator<OutputChunk, void> {
    try {
      for await (const message of this.#wire.messages()) {
        const event = this.#decode(message);
        this.#heard ||= event.kind === "started" || event.kind === "output";
        if (event.kind === "started") this.#started.resolve(event.started);
        else if (event.kind === "output") yield chunkOf(event.output);
        else if (event.kind === "stalled" && event.message !== "") this.onStalled?.(event.message);
        else if (event.kind === "exit") {
          this.#exit.resolve(event.exit);
          this.#started.reject(endedBeforeStart());
          return;
        }
      }
      throw noExitCode();
    } catch (error) {
      this.#started.reject(error);
      this.#exit.reject(error);
      throw error;
    } finally {
      this.#exit.reject(stoppedReading());
      this.#started.reject(stoppedReading());
    }
  }
}

function chunkOf(output: OutputJson): OutputChunk {
  const fd = output.stream === "OUTPUT_STREAM_STDERR" ? 2 : 1;
  return { fd, data: Buffer.from(output.data ?? "", "base64") };
}

function endedBeforeStart(): KilnError {
  return new KilnError(Code.FailedPrecondition, "the program could not be started", {
    reason: "program-not-started",
  });
}

function stoppedReading(): KilnError {
  return new KilnError(Code.Cancelled, "the program's output was left unread", { reason: "cancelled" });
}

// A QMP client (QEMU's machine protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html). A guest that broke
// out into QEMU writes what it likes here: lines are bounded and parsed strictly, a violation closes the connection.

import type { Socket } from "node:net";
import { onAbort } from "../../base/abort.js";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { connectPinned } from "../../base/pinned.js";
import type { Abortable } from "../../base/progress.js";
import { deferred, delay } from "../../base/runtime.js";
import { QmpLines, type QmpMessage } from "./qmp-lines.js";
import { sendFiles, sendTap } from "./send-files.js";

export type QmpArguments = Readonly<Record<string, unknown>>;

export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface QmpConnectOptions extends Abortable {
  readonly timeoutMs?: number;
  /** Users that the socket may belong to; default our own. */
  readonly owners?: readonly number[] | undefined;
  /** Given where the socket may not be there yet: connects again until it is, or until this says that QEMU has ended. */
  readonly gone?: () => boolean;
}

interface Waiting {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: KilnError): void;
}

/** Long: on a host with more VMs than cores QEMU's main loop waits its turn. */
const COMMAND_TIMEOUT_MS = 15_000;

export class QmpClient {
  /** Resolves when the connection has ended, whoever ended it. Never rejects. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #lines = new QmpLines();
  readonly #waiting = new Map<number, Waiting>();
  readonly #greeted = deferred<void>();
  readonly #closed = deferred<void>();
  readonly #onEvent: (event: QmpEvent) => void;
  #nextId = 1;
  #failure: KilnError | undefined;

  private constructor(socket: Socket, onEvent: (event: QmpEvent) => void) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    this.closed = this.#closed.promise;
    this.#greeted.promise.catch(() => undefined);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error) => this.#end(connectionClosed(error)));
    socket.on("close", () => this.#end(connectionClosed()));
  }

  /**
   * Connects and leaves capabilities negotiation behind.
   *
   * @param onEvent told of every event, from the first on
   * @throws KilnError unavailable where nobody listens; deadline_exceeded `qmp-silent` where nobody greets: QEMU
   * serves one client at a time
   */
  static async connect(
    path: string,
    onEvent: (event: QmpEvent) => void,
    options: QmpConnectOptions = {},
  ): Promise<QmpClient> {
    try {
      return await QmpClient.begin(await socketWhenListening(path, options), onEvent, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw KilnError.from(error, `connect to QEMU at ${path}`);
    }
  }

  /** The same over a connection that is there. */
  static async begin(
    socket: Socket,
    onEvent: (event: QmpEvent) => void,
    options: QmpConnectOptions = {},
  ): Promise<QmpClient> {
    const client = new QmpClient(socket, onEvent);
    using _ = onAbort(options.signal, () => client.close());
    try {
      options.signal?.throwIfAborted();
      await client.#greeting(options.timeoutMs ?? COMMAND_TIMEOUT_MS);
      await client.execute("qmp_capabilities");
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** @throws KilnError: failed_precondition `qmp-error` with QEMU's words, unavailable `qmp-closed`, `qmp-silent` */
  async execute(command: string, args?: QmpArguments, timeoutMs = COMMAND_TIMEOUT_MS): Promise<unknown> {
    return this.#ask(command, args, timeoutMs, async (line) => void this.#socket.write(line));
  }

  /**
   * The same with an open file beside the command, for `add-fd`.
   *
   * @param program path of `kiln-sendfd`
   */
  async executeWith(file: number, program: string, command: string, args?: QmpArguments): Promise<unknown> {
    return this.#ask(command, args, COMMAND_TIMEOUT_MS, (line) =>
      sendFiles(program, this.#socket, line, [file]),
    );
  }

  /**
   * The same with a tap that is made on the way, for `getfd`.
   *
   * @param around words that make it and become the command
   */
  async executeWithTap(
    around: (argv: readonly string[], fd: number) => readonly string[],
    program: string,
    command: string,
    args?: QmpArguments,
  ): Promise<unknown> {
    return this.#ask(command, args, COMMAND_TIMEOUT_MS, (line) =>
      sendTap(program, this.#socket, line, around),
    );
  }

  async #ask(
    command: string,
    args: QmpArguments | undefined,
    timeoutMs: number,
    send: (line: string) => Promise<void>,
  ): Promise<unknown> {
    if (this.#failure !== undefined) throw this.#failure;
    const id = this.#nextId++;
    const answer = deferred<unknown>();
    this.#waiting.set(id, { command, resolve: answer.resolve, reject: answer.reject });
    const timer = setTimeout(() => answer.reject(silent(command, timeoutMs)), timeoutMs);
    try {
      answer.promise.catch(() => undefined);
      await send(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** No command will be answered any more. */
  get ended(): boolean {
    return this.#failure !== undefined;
  }

  close(): void {
    this.#socket.destroy();
    this.#end(connectionClosed());
  }

  async #greeting(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.#greeted.reject(silent("greeting", timeoutMs)), timeoutMs);
    try {
      await this.#greeted.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #read(chunk: Buffer): void {
    try {
      for (const message of this.#lines.push(chunk)) this.#take(message);
    } catch (error) {
      this.#end(KilnError.from(error, "read from QEMU"));
      this.#socket.destroy();
    }
  }

  #take(message: QmpMessage): void {
    if (message.kind === "greeting") {
      this.#greeted.resolve();
    } else if (message.kind === "event") {
      this.#onEvent({ name: message.name, data: message.data });
    } else if (message.kind === "return") {
      this.#waiting.get(message.id)?.resolve(message.value);
    } else {
      const waiting = this.#waiting.get(message.id);
      waiting?.reject(refused(waiting.command, message.description));
    }
  }

  #end(failure: KilnError): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#greeted.reject(failure);
    for (const waiting of this.#waiting.values()) waiting.reject(failure);
    this.#closed.resolve();
  }
}

/** Connects once the socket is there: QEMU makes it some 35 ms after its start. `gone` ends the wait. */
async function socketWhenListening(path: string, options: QmpConnectOptions): Promise<Socket> {
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 1.5, 20)) {
    try {
      return await connectPinned(path, options.owners ?? [process.getuid?.() ?? 0]);
    } catch (error) {
      if (options.gone === undefined || options.gone() || !isNotYet(error)) throw error;
    }
    await delay(waitMs, options.signal);
  }
}

function isNotYet(error: unknown): boolean {
  const errno = errnoOf(error instanceof KilnError ? error.cause : error);
  return errno === "ENOENT" || errno === "ECONNREFUSED";
}

function connectionClosed(cause?: Error): KilnError {
  return new KilnError(Code.Unavailable, "QEMU closed its control connection", {
    reason: "qmp-closed",
    cause,
  });
}

function silent(what: string, timeoutMs: number): KilnError {
  return new KilnError(Code.DeadlineExceeded, `QEMU did not answer ${what} within ${timeoutMs} ms`, {
    reason: "qmp-silent",
    hint: "another program may hold its control socket, or the host is overloaded",
  });
}

function refused(command: string, description: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `QEMU refused ${command}: ${description}`, {
    reason: "qmp-error",
  });
}

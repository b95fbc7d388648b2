// Opens the channel to a guest's agent: dial, hello, gRPC. A guest that is still booting is waited for.

import type { Duplex } from "node:stream";
import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { anySignal } from "../base/abort.js";
import { Code, hasReason, KilnError } from "../base/errors.js";
import { delay } from "../base/runtime.js";
import { greet } from "./greet.js";
import { AUTHORITY, SingleSession } from "./http2-session.js";
import { budgeted, StreamBudget } from "./stream-budget.js";
import type { AgentChannel, DialChannel, OpenSessionOptions } from "./types.js";

/** What calls are made over. Its failures are Connect's. */
export interface OpenChannel extends AgentChannel {
  readonly transport: Transport;
}

/** The agent sends data in pieces of at most 64 KiB; what else it sends is smaller. */
const MOST_MESSAGE = 256 * 1024;
const REDIAL_FIRST_MS = 5;
const REDIAL_LONGEST_MS = 50;

/** @throws KilnError as openSession */
export async function openChannel(dial: DialChannel, options: OpenSessionOptions): Promise<OpenChannel> {
  const deadline = AbortSignal.timeout(options.helloTimeoutMs);
  const signal = anySignal(deadline, options.signal);
  try {
    return channelOn(await greeted(dial, signal));
  } catch (error) {
    if (deadline.aborted && options.signal?.aborted !== true) throw noHello(options.helloTimeoutMs, error);
    throw error;
  }
}

/** Dials until an agent answers: on vsock nobody listens before it is up, and a VMM may close an early connection. */
async function greeted(dial: DialChannel, signal: AbortSignal): Promise<Duplex> {
  for (let pause = REDIAL_FIRST_MS; ; pause = Math.min(pause * 2, REDIAL_LONGEST_MS)) {
    try {
      return await dialAndGreet(dial, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!mayComeYet(error)) throw error;
      await delay(pause, signal);
    }
  }
}

async function dialAndGreet(dial: DialChannel, signal: AbortSignal): Promise<Duplex> {
  const stream = await dial({ signal });
  // A stream that breaks between two awaits must not end the process.
  stream.on("error", () => undefined);
  try {
    await greet(stream, signal);
    return stream;
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

function mayComeYet(error: unknown): boolean {
  return hasReason(error, "channel-closed") || KilnError.from(error).code === Code.Unavailable;
}

function channelOn(stream: Duplex): OpenChannel {
  const session = new SingleSession(stream);
  const transport = createGrpcTransport({
    baseUrl: AUTHORITY,
    sessionManager: session,
    readMaxBytes: MOST_MESSAGE,
    acceptCompression: [],
    interceptors: [budgeted(new StreamBudget(() => session.streams))],
  });
  return {
    transport,
    closed: session.closed,
    get violated() {
      return session.violated;
    },
    ping: (timeoutMs) => session.ping(timeoutMs),
    close: () => session.close(),
  };
}

function noHello(ms: number, cause: unknown): KilnError {
  return new KilnError(Code.DeadlineExceeded, `the guest's agent did not answer within ${ms / 1000} s`, {
    reason: "no-hello",
    cause,
  });
}

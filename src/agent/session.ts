// Opens a session with a guest's agent: dial, hello, gRPC. A guest that is still booting is waited for.

import type { Duplex } from "node:stream";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { anySignal } from "../base/abort.js";
import { Code, hasReason, KilnError } from "../base/errors.js";
import { delay } from "../base/runtime.js";
import { callsOver } from "./calls.js";
import { greet } from "./greet.js";
import { AUTHORITY, SingleSession } from "./http2-session.js";
import { budgeted, StreamBudget } from "./stream-budget.js";
import type { AgentSession, DialChannel, OpenSessionOptions } from "./types.js";

/** The agent sends data in pieces of at most 64 KiB; what else it sends is smaller. */
const MOST_MESSAGE = 256 * 1024;
const REDIAL_FIRST_MS = 5;
const REDIAL_LONGEST_MS = 50;

/**
 * @throws KilnError deadline_exceeded `no-hello` when no agent answers in time, data_loss `channel-garbage`,
 * failed_precondition `agent-version`; the signal's reason
 */
export async function openSession(dial: DialChannel, options: OpenSessionOptions): Promise<AgentSession> {
  const deadline = AbortSignal.timeout(options.helloTimeoutMs);
  const signal = anySignal(deadline, options.signal);
  try {
    return sessionOn(await greeted(dial, signal));
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

function sessionOn(stream: Duplex): AgentSession {
  const sessionManager = new SingleSession(stream);
  const transport = createGrpcTransport({
    baseUrl: AUTHORITY,
    sessionManager,
    readMaxBytes: MOST_MESSAGE,
    acceptCompression: [],
    interceptors: [budgeted(new StreamBudget(() => sessionManager.streams))],
  });
  return {
    ...callsOver(transport),
    closed: sessionManager.closed,
    get violated() {
      return sessionManager.violated;
    },
    ping: (timeoutMs) => sessionManager.ping(timeoutMs),
    close: () => sessionManager.close(),
  };
}

function noHello(ms: number, cause: unknown): KilnError {
  return new KilnError(Code.DeadlineExceeded, `the guest's agent did not answer within ${ms / 1000} s`, {
    reason: "no-hello",
    cause,
  });
}

// Greets the agent on a fresh byte stream: says hello until the echo comes, drops what a dead session left behind.

import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { Code, KilnError } from "../base/errors.js";
import { EchoScanner, encodeHello, NONCE_BYTES } from "./hello.js";

/** A hello may fall into the hands of a dying session: another is said after this, ms. */
const REPEAT_MS = 500;
/** The same for an agent that was heard, but answers more slowly than we repeat ourselves: the last one is on its way. */
const REPEAT_SLOWLY_MS = 5_000;
/** What a dead session can leave is bounded by the sockets' and the port's buffers; more is a guest that floods. */
const MOST_GARBAGE = 8 * 1024 * 1024;
const VERSION = 1;

/**
 * Returns once the agent has echoed the last hello: it answers them in their order, so nothing else of the greeting is
 * under way, and HTTP/2 can begin.
 *
 * @throws KilnError unavailable `channel-closed`, data_loss `channel-garbage`, failed_precondition `agent-version`;
 * the signal's reason
 */
export async function greet(stream: Duplex, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const scanner = new EchoScanner();
  let timer: NodeJS.Timeout | undefined;
  const sayHello = () => {
    const nonce = randomBytes(NONCE_BYTES);
    scanner.expect(nonce);
    stream.write(encodeHello(nonce));
    timer = setTimeout(sayHello, scanner.heardAnother ? REPEAT_SLOWLY_MS : REPEAT_MS);
  };
  sayHello();
  try {
    await waitForEcho(stream, scanner, signal);
  } finally {
    clearTimeout(timer);
  }
}

function waitForEcho(stream: Duplex, scanner: EchoScanner, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void) => {
      stream.off("readable", onReadable);
      stream.off("close", onClose);
      stream.off("end", onClose);
      stream.off("error", onError);
      signal.removeEventListener("abort", onAbort);
      settle();
    };
    const fail = (error: unknown) => finish(() => reject(error));
    const onClose = () => fail(closed());
    const onError = (error: Error) => fail(closed(error));
    const onAbort = () => fail(signal.reason);
    // Paused reading: after the echo not a byte is taken from the stream, HTTP/2 finds it as it is.
    const onReadable = () => {
      for (
        let chunk = stream.read() as Buffer | null;
        chunk !== null;
        chunk = stream.read() as Buffer | null
      ) {
        const found = scanner.push(chunk);
        if (found !== undefined) return finish(() => conclude(found, resolve, reject));
        if (scanner.dropped > MOST_GARBAGE) return fail(garbage(scanner.dropped));
      }
    };
    stream.on("readable", onReadable);
    stream.once("close", onClose);
    stream.once("end", onClose);
    stream.once("error", onError);
    signal.addEventListener("abort", onAbort, { once: true });
    onReadable();
  });
}

function conclude(
  found: { version: number; rest: Buffer },
  resolve: () => void,
  reject: (error: unknown) => void,
): void {
  if (found.version !== VERSION) {
    reject(
      new KilnError(
        Code.FailedPrecondition,
        `the guest's agent speaks version ${found.version} of the channel`,
        {
          reason: "agent-version",
          hint: "restart the VM: it then gets this kiln's agent",
        },
      ),
    );
  } else resolve();
}

function garbage(bytes: number): KilnError {
  return new KilnError(Code.DataLoss, `the guest sent ${bytes} bytes instead of the agent's echo`, {
    reason: "channel-garbage",
  });
}

function closed(cause?: Error): KilnError {
  return new KilnError(Code.Unavailable, "the channel to the guest closed before its agent answered", {
    reason: "channel-closed",
    cause,
  });
}

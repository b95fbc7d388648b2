// Firecracker's API (HTTP/1.1 and JSON on a unix socket) and its vsock socket. Answers are bounded: a guest that broke
// out writes what it likes here.

import { request } from "node:http";
import type { Socket } from "node:net";
import { orAborted } from "../../base/abort.js";
import { Code, KilnError } from "../../base/errors.js";
import { connectPinned } from "../../base/pinned.js";
import type { Abortable } from "../../base/progress.js";

const API_TIMEOUT_MS = 15_000;
const MAX_WORDS = 2000;
const MAX_ANSWER_BYTES = 256 * 1024;

/** `OK <host port>\n` is shorter; anything longer is no answer of Firecracker's. */
const MAX_ACK_BYTES = 32;
/** Firecracker gives the guest 2 s to accept; it answers nothing while the guest has no driver yet, or is paused. */
const VSOCK_TIMEOUT_MS = 5000;

/** Users that the sockets may belong to where nobody tells: our own. */
const OWN: readonly number[] = [process.getuid?.() ?? 0];

/**
 * One call. 2xx gives the parsed answer (undefined for 204).
 *
 * @throws KilnError: failed_precondition `firecracker-error` with Firecracker's words, unavailable where nobody listens
 */
export async function callApi(
  socketPath: string,
  method: "GET" | "PUT" | "PATCH",
  path: string,
  body?: Readonly<Record<string, unknown>>,
  owners: readonly number[] = OWN,
): Promise<unknown> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const what = `${method} ${path} on Firecracker's API`;
  const socket = await connectPinned(socketPath, owners).catch((error: unknown) => {
    throw KilnError.from(error, what);
  });
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(KilnError.from(error, what));
    const headers =
      text === undefined
        ? {}
        : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const call = request({ createConnection: () => socket, method, path, headers }, (answer) => {
      let received = "";
      // An answer that breaks off, or is cut off here, is told by itself alone: the call has none to fail with.
      answer.once("close", () => failed(new Error("the answer broke off")));
      answer.on("error", failed);
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        received += chunk;
        if (received.length > MAX_ANSWER_BYTES) call.destroy(new Error("the answer is too long"));
      });
      answer.on("end", () => {
        try {
          resolve(readAnswer(answer.statusCode ?? 0, received));
        } catch (error) {
          reject(error);
        }
      });
    });
    // Of the whole answer: one that comes a byte at a time is none.
    const timer = setTimeout(
      () => call.destroy(new Error(`no answer within ${API_TIMEOUT_MS} ms`)),
      API_TIMEOUT_MS,
    );
    call.once("close", () => {
      clearTimeout(timer);
      // Whatever else it was (a switch of protocols, say), no answer is to come.
      failed(new Error("the connection was closed"));
    });
    call.on("error", failed);
    call.end(text);
  });
}

function readAnswer(status: number, text: string): unknown {
  if (status >= 200 && status < 300) return text === "" ? undefined : parseJson(text);
  const words = refusalWords(text).slice(0, MAX_WORDS) || `HTTP status ${status}`;
  throw new KilnError(Code.FailedPrecondition, `Firecracker refused: ${words}`, {
    reason: "firecracker-error",
  });
}

/**
 * What a refusal says, for people. The API answers `{"fault_message": …}`; its HTTP layer (a method it does not know, a
 * body too long) answers `{ "error": "…` with raw line ends in the string, which is no JSON.
 */
function refusalWords(text: string): string {
  try {
    const { fault_message, error } = JSON.parse(text) as { fault_message?: unknown; error?: unknown };
    return String(fault_message ?? error ?? "");
  } catch {
    const raw = /"error"\s*:\s*"([^"]*)/.exec(text)?.[1] ?? "";
    return raw.replace(/\s+/g, " ").trim();
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new KilnError(Code.DataLoss, "Firecracker's answer is no JSON", {
      reason: "firecracker-violation",
      cause: error,
    });
  }
}

/**
 * A stream to a vsock port of the guest.
 *
 * @throws KilnError unavailable `nobody-listens` where the guest has no listener (yet)
 */
export async function dialVsock(
  udsPath: string,
  port: number,
  options: Abortable & { readonly timeoutMs?: number; readonly owners?: readonly number[] },
): Promise<Socket> {
  options.signal?.throwIfAborted();
  const socket = await connectPinned(udsPath, options.owners ?? OWN);
  try {
    socket.write(`CONNECT ${port}\n`);
    await orAborted(readAck(socket, options.timeoutMs ?? VSOCK_TIMEOUT_MS), options.signal);
    return socket;
  } catch (error) {
    socket.destroy();
    options.signal?.throwIfAborted();
    throw error;
  }
}

/** Reads up to the line's end and not a byte further: the guest's first bytes may follow at once. */
function readAck(socket: Socket, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let line = "";
    const timer = setTimeout(() => finish(nobody("no answer")), timeoutMs);
    const finish = (error?: unknown) => {
      clearTimeout(timer);
      socket.off("readable", onReadable);
      socket.off("close", onClose);
      socket.off("error", finish);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onReadable = () => {
      for (let byte = socket.read(1); byte !== null; byte = socket.read(1)) {
        line += byte.toString("latin1");
        if (line.endsWith("\n"))
          return finish(/^OK [0-9]+\n$/.test(line) ? undefined : nobody("a strange answer"));
        if (line.length > MAX_ACK_BYTES) return finish(nobody("a strange answer"));
      }
    };
    const onClose = () => finish(nobody("the connection was closed"));
    socket.on("readable", onReadable);
    socket.once("close", onClose);
    socket.once("error", finish);
  });
}

function nobody(why: string): KilnError {
  return new KilnError(Code.Unavailable, `dial the agent: nobody listens in the guest (${why})`, {
    reason: "nobody-listens",
  });
}

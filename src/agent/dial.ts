// A stream to a port in the guest: bytes for TCP, one chunk per datagram for UDP. Back-pressure goes all the way, by
// HTTP/2's flow control.

import { Duplex } from "node:stream";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";
import type { Abortable } from "../base/progress.js";
import type { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import type { DialRequestSchema, DialResponse } from "../gen/kiln/agent/v1/net_pb.js";
import { isAgents } from "./errors.js";
import { InputQueue } from "./input-queue.js";
import { FLOW_HEADER } from "./stream-budget.js";

export interface DialTarget {
  readonly network: "tcp" | "udp";
  /** In the guest; empty: 127.0.0.1, then the guest's first address. */
  readonly host?: string;
  readonly port: number;
}

export interface GuestNet {
  /**
   * Resolves once connected. Destroying the stream ends the connection in the guest.
   *
   * @throws KilnError unavailable `guest-port-refused`; whatever breaks the session
   */
  dial(target: DialTarget, options?: Abortable): Promise<Duplex>;
}

export function netOver(client: Client<typeof AgentService>): GuestNet {
  return { dial: (target, options = {}) => dialGuest(client, target, options) };
}

type DialMessage = MessageInitShape<typeof DialRequestSchema>;
/** The agent takes at most this much in one message. */
const PIECE = 64 * 1024;

async function dialGuest(
  client: Client<typeof AgentService>,
  target: DialTarget,
  options: Abortable,
): Promise<Duplex> {
  const abort = new AbortController();
  const onAbort = () => abort.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const requests = new InputQueue<DialMessage>();
  const { network, host = "", port } = target;
  void requests.push({ message: { case: "start", value: { network, host, port } } });
  const headers = { ...(network === "udp" ? { [FLOW_HEADER]: "1" } : {}) };
  const responses = client.dial(requests, { signal: abort.signal, headers })[Symbol.asyncIterator]();
  try {
    options.signal?.throwIfAborted();
    const first = await responses.next();
    if (first.done === true || first.value.message.case !== "connected") throw refused(target);
    return new GuestStream(requests, responses, abort, network === "udp");
  } catch (error) {
    requests.end();
    abort.abort();
    options.signal?.throwIfAborted();
    if (isAgents(error) && error.code === Code.Unavailable) throw refused(target, error);
    throw error;
  } finally {
    // From here on the stream's own end is what counts: the signal bounds the dialling only.
    options.signal?.removeEventListener("abort", onAbort);
  }
}

function refused(target: DialTarget, cause?: KilnError): KilnError {
  const why = cause === undefined ? "the agent did not connect" : cause.message;
  return new KilnError(Code.Unavailable, `${target.network} port ${target.port} of the guest: ${why}`, {
    reason: "guest-port-refused",
    cause,
  });
}

class GuestStream extends Duplex {
  readonly #requests: InputQueue<DialMessage>;
  readonly #responses: AsyncIterator<DialResponse>;
  readonly #abort: AbortController;
  #reading = false;

  constructor(
    requests: InputQueue<DialMessage>,
    responses: AsyncIterator<DialResponse>,
    abort: AbortController,
    datagrams: boolean,
  ) {
    super({ allowHalfOpen: true, readableObjectMode: datagrams, writableObjectMode: datagrams });
    this.#requests = requests;
    this.#responses = responses;
    this.#abort = abort;
  }

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    void this.#readSome().catch((error: unknown) => this.destroy(KilnError.from(error)));
  }

  async #readSome(): Promise<void> {
    for (let more = true; more; ) {
      const { done, value } = await this.#responses.next();
      if (this.destroyed) return;
      if (done === true || value.message.case === "eof") more = this.push(null) && false;
      else if (value.message.case === "data") more = this.push(value.message.value);
    }
    this.#reading = false;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    void this.#send(chunk).then(() => done(), done);
  }

  async #send(chunk: Buffer): Promise<void> {
    if (this.writableObjectMode) return this.#requests.push({ message: { case: "data", value: chunk } });
    for (let at = 0; at < chunk.length; at += PIECE) {
      const value = chunk.subarray(at, at + PIECE);
      await this.#requests.push({ message: { case: "data", value } });
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    void this.#requests.push({ message: { case: "eof", value: true } }).then(() => {
      this.#requests.end();
      done();
    }, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#requests.end();
    this.#abort.abort();
    done(error);
  }
}

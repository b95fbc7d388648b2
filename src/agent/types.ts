// Host side of the channel: one AgentSession per VM, over whatever byte stream the VMM gives. What can be asked is of this
// room's own types, with numbers and texts bounded; what fails is a KilnError.
// See proto/kiln/agent/v1 for the calls and docs/design/0005-channel.md for the hello.

import type { Duplex } from "node:stream";
import type { AgentCalls } from "./calls.js";

/** Opens a fresh byte stream to the agent's end of the channel. */
export type DialChannel = (options: { signal?: AbortSignal | undefined }) => Promise<Duplex>;

/** What is known of the way to an agent, whatever is asked over it. */
export interface AgentChannel {
  /** Resolves when the session has ended, whoever ended it; the reason is for logs. Never rejects. */
  readonly closed: Promise<string>;
  /** True once the guest has broken the protocol: proof of a broken agent, where silence proves nothing. */
  readonly violated: boolean;
  /**
   * Asks for a sign of life; resolves with its milliseconds. Nothing asks by itself: a paused guest is silent and
   * not dead, and only the engine knows which it is.
   *
   * @throws KilnError deadline_exceeded `agent-silent`; unavailable `agent-gone`
   */
  ping(timeoutMs: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * What can be asked of one guest's agent. Every call is bound to this session: it fails unavailable `guest-unavailable` once
 * that has ended, and never reaches a guest that was started anew. What the agent refuses fails with "guest-" and its
 * code as reason (`guest-not-found`, `guest-failed-precondition`), what takes too long deadline_exceeded `timeout`.
 */
export interface AgentSession extends AgentChannel, AgentCalls {}

export interface OpenSessionOptions {
  readonly signal?: AbortSignal | undefined;
  /** Hello deadline, milliseconds. KilnError deadline_exceeded `no-hello` after it. */
  readonly helloTimeoutMs: number;
}

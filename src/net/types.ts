// What a published port is, and what a VM's card is connected to, for those who make one and those who hold it.

import type { FileHandle } from "node:fs/promises";
import type { Duplex } from "node:stream";
import type { PortMapping, PortProtocol } from "../base/ports.js";
import type { RunAs } from "../base/privileges.js";
import type { Abortable } from "../base/progress.js";

/**
 * Reaches a port in the guest. TCP: a byte stream that half-closes. UDP: a stream where one chunk is one datagram.
 */
export type GuestDial = (protocol: PortProtocol, vmPort: number, options: Abortable) => Promise<Duplex>;

export interface PublishedPort {
  /** With the host port that was really bound. */
  readonly mapping: PortMapping;
  /** Connections or flows of this moment. */
  readonly active: number;
  /** Ends the listener and all its connections; resolves when they are gone. Idempotent. */
  close(): Promise<void>;
}

export interface PublishLimits {
  /**
   * TCP connections of one port at a time. For further ones those go whose client has said all, and where nothing has
   * moved for a while; where there is none they are reset. Default 512: below what a VM's session has for all its ports.
   */
  readonly maxConnections: number;
  /** UDP flows of one port at a time; the idlest one goes. Default 192. */
  readonly maxFlows: number;
  /** A UDP flow without a datagram for so long is over. Default 90 s. */
  readonly flowIdleMs: number;
  /** For the guest to accept a connection. Default 15 s. */
  readonly dialTimeoutMs: number;
}

/** What a card's other end is: a socket at which its VMM listens, or a tap that its VMM has in a namespace of its own. */
export type CardKind = "stream" | "tap";

/** A VMM that has its tap. */
export interface TapHolder {
  /** In the tap's namespaces: the VMM, or its jail's monitor. */
  readonly pid: number;
  /** A descriptor that hangs up when the VMM has ended. */
  readonly alive: () => Promise<FileHandle>;
}

/** One VM's card, to be connected. */
export type UserConnection = StreamConnection | TapConnection;

export interface StreamConnection extends CardOwner {
  readonly kind: "stream";
  /** Of the VM: private to kilnd, and gone with the run. */
  readonly runDirectory: string;
  /** Where the VMM listens for the card's other end. */
  readonly socket: string;
  /** The VM's user, where a root daemon gave it one. */
  readonly runAs: RunAs | undefined;
}

export interface TapConnection extends CardOwner {
  readonly kind: "tap";
  /** Resolves once the VMM has its tap; rejects where it ends before. */
  readonly tap: () => Promise<TapHolder>;
}

interface CardOwner {
  /** Of every process of the VM. */
  readonly environment: Readonly<Record<string, string>> | undefined;
  /** Puts a process under the VM's limits, where it has some. */
  readonly join: (pid: number) => Promise<void>;
}

/** For people. `down`: it stays down until kilnd starts again. */
export interface NetworkNotice {
  readonly down: boolean;
  readonly message: string;
}

/** What keeps one card connected. */
export interface UserNetwork {
  /** Tells of restarts and of giving up. Returns the way to stop listening. */
  listen(listener: (notice: NetworkNotice) => void): () => void;
  /** The VMM says that the card's other end has gone. It may say so without end, and it may lie. */
  lost(): void;
  /** kilnd goes: it goes on. */
  detach(): void;
  /** The VM has ended. */
  end(): Promise<void>;
}

// Network cards: what a VMM is given of them, at its launch and, where it can take them, while it runs.

import type { FileHandle } from "node:fs/promises";

/**
 * What a card's other end is. stream: a socket at which the VMM listens; whoever connects to it has the guest's frames, each
 * behind its length in four bytes, and may come and go. tap: one that is there before the VMM is, which opens it by its name.
 * descriptor: a tap with a virtio-net header, of a place that the VMM never sees.
 */
export type CardBackend = { readonly kind: "stream" } | TapBackend | DescriptorBackend;
/** What connects a VM to the user network. */
export type CardKind = "stream" | "tap";

export interface DescriptorBackend {
  readonly kind: "descriptor";
  /**
   * Goes around the jail. The process that is started makes the tap, and becomes the command.
   *
   * @param fd the number that the command has the tap as: nothing is there before
   */
  around(argv: readonly string[], fd: number): readonly string[];
}

/** The tap is in a network namespace of the VM's own, on a bridge with a link that leads on. */
export interface TapBackend {
  readonly kind: "tap";
  readonly on: "user" | "network";
  /** Under which the VMM opens it: once in a VM. */
  readonly name: string;
  /** Of the link that leads on. */
  readonly peer: string;
  /** Of both. */
  readonly mtu: number;
  /** Lines of sh(1) that make that link, by a process in the namespace that has all rights over it. */
  readonly make: readonly string[];
  /** Words that lead to the user namespace of which that namespace is to be; none for one of its own, and for root. */
  readonly within: readonly string[];
}

/** A VMM that has its tap. */
export interface TapHolder {
  /** Of the VMM or its jail's monitor, in the tap's namespaces. */
  readonly pid: number;
  /** A descriptor that hangs up when the VMM has ended. */
  readonly alive: () => Promise<FileHandle>;
}

/** A network card. Of addresses its VMM knows nothing. */
export interface CardSpec {
  /** [a-z][a-z0-9]{0,19}, once in a VM. */
  readonly id: string;
  readonly mac: string;
  readonly backend: CardBackend;
}

/** Cards on named networks of a VM that runs, by the ids of their specs. */
export interface HotCards {
  /** Whether it was launched with that card, or the card has come since; undefined where there is none, or nothing at its other end. */
  find(id: string): Promise<"launched" | "come" | undefined>;
  /**
   * Gives the running guest a card, whose tap is made by a process of kilnd's and handed over.
   *
   * @throws KilnError failed_precondition `no-hotplug` for a VM that was launched without a place for it; resource_exhausted
   *   `too-many-cards`; unavailable `network-failed` with the words of who makes the tap. There is no tap then.
   */
  attach(card: CardSpec): Promise<void>;
  /**
   * Takes away the other end of a card, also of one that the VM was launched with, whatever its guest does: there is no tap when
   * this returns. Idempotent.
   */
  cut(id: string): Promise<void>;
  /**
   * Takes away the rest of one that has come, which its guest has to let go of: a while is waited for that. Idempotent.
   *
   * @returns whether nothing of it is left in the machine
   */
  remove(id: string): Promise<boolean>;
}

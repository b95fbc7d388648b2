// What a live shared directory is on the host: a directory, the socket behind which its guest is, and the server between.

import type { RunAs } from "../base/privileges.js";

/** Which of the host's users the guest's files belong to. */
export type ShareMap =
  /** All files that the server may call its own are the guest's `uid`:`gid`; all others nobody's. */
  | { readonly kind: "squash"; readonly uid: number; readonly gid: number }
  /** `count` ids from the guest's `guest` on are the host's from `host` on. Root daemons alone can. */
  | { readonly kind: "range"; readonly guest: number; readonly host: number; readonly count: number };

/** A directory of the host that a guest may write to, of any VM that there is. */
export interface GuestPlace {
  readonly path: string;
  /** Name of its VM, for people. */
  readonly vm: string;
}

/** What is shared. */
export interface ShareSpec {
  /** [a-z0-9]{1,20}, once in a VM. */
  readonly id: string;
  /** Absolute; links on the way to it are followed: it is the user's word. A directory, or one file. */
  readonly source: string;
  /** Asked whenever the source is looked for. No link in one of them is the user's word. */
  readonly guestPlaces?: (() => readonly GuestPlace[]) | undefined;
  readonly readOnly: boolean;
  readonly map: ShareMap;
  /** The guest is told what changes on the host. */
  readonly notify: boolean;
}

/** The descriptor by which the server reaches the guest; whoever takes it closes it. */
export interface GuestEnd extends AsyncDisposable {
  /** connect: pinned socket at which the VMM listens. listen: a socket that listens for the VMM. */
  readonly kind: "connect" | "listen";
  readonly fd: number;
}

export interface ShareConnection {
  /** Of the VM: private to kilnd, and gone with the run. */
  readonly runDirectory: string;
  /** Asked for each server that is started. */
  readonly guestEnd: () => Promise<GuestEnd>;
  /** Of a root daemon: whom a server becomes where root owns what is shared. No file on any disk is his. */
  readonly as: RunAs | undefined;
  /** Of every process of the VM. */
  readonly environment: Readonly<Record<string, string>> | undefined;
  /** Puts a process under the VM's limits, where it has some. */
  readonly join: (pid: number) => Promise<void>;
  /** Whether its VMM is there: with that the server is ended too, which is no news, and none follows it. */
  readonly vmLives: () => Promise<boolean>;
}

/** For people. */
export interface ShareNotice {
  /** Nobody serves the share at present. */
  readonly away: boolean;
  readonly message: string;
}

/** What keeps one share served. */
export interface Share {
  /** Whether nobody serves it at present, and why. */
  readonly notice: ShareNotice | undefined;
  /** Returns the way to stop listening. */
  listen(listener: (notice: ShareNotice) => void): () => void;
  /** kilnd goes: it goes on. */
  detach(): void;
  /** The VM has ended. */
  end(): Promise<void>;
}

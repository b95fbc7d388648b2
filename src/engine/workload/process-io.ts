// What goes into and comes out of a program in a VM, as its callers have it: of one started beside the main program
// (exec), and of the main program itself (attach).

import type { LogStream } from "../output/log-format.js";
import type { OutputPlace } from "../output/log-position.js";
import type { RestartPolicy } from "../vm/vm-config.js";

/** A program to be run in a VM. */
export interface ExecSpec {
  readonly args: readonly string[];
  /** Added to the VM's own. */
  readonly env: readonly string[];
  /** Empty: the VM's own. */
  readonly user: string;
  readonly workdir: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly columns: number;
  readonly rows: number;
  /** Answers with `started` and leaves it running. */
  readonly detach: boolean;
  /** The caller's own name for it; empty: it ends with its call. */
  readonly id: string;
  /** Of one that is detached. */
  readonly restart?: RestartPolicy | undefined;
  /** Of one that is detached: not started where nothing could be kept of it. */
  readonly keep?: boolean;
}

/** Going on with one that was started with an id. */
export interface ExecResumption {
  readonly id: string;
  readonly nextSequence: bigint;
}

/** Starts a program, or goes on with one whose caller was cut off from kilnd. */
export type ExecAsk =
  | { readonly kind: "start"; readonly spec: ExecSpec }
  | { readonly kind: "resume"; readonly resume: ExecResumption };

/** What a caller says to a program that runs. */
export type ProcessInput =
  | { readonly kind: "stdin"; readonly data: Uint8Array }
  | { readonly kind: "stdin-eof" }
  | { readonly kind: "resize"; readonly columns: number; readonly rows: number }
  | { readonly kind: "signal"; readonly signal: string }
  /** Output below it has arrived for good. */
  | { readonly kind: "ack"; readonly sequence: bigint };

/** What an exec says to its caller, in order; `exit` is the last. */
export type ExecOutput =
  | {
      readonly kind: "started";
      readonly pid: number;
      readonly resumable: boolean;
      readonly stdinNext: bigint;
      /** Of one that is detached and kept. */
      readonly execId?: string;
    }
  | {
      readonly kind: "output";
      readonly stream: LogStream;
      readonly data: Uint8Array;
      /** Sequence number behind data, of one that can be resumed. */
      readonly next: bigint;
    }
  | { readonly kind: "stdin-taken"; readonly taken: bigint }
  /** The VM stands still; empty: it goes on. */
  | { readonly kind: "stalled"; readonly reason: string; readonly message: string }
  /** `error` says why it could not be started: the code is then 126 or 127. */
  | { readonly kind: "exit"; readonly code: number; readonly error: string };

/** How to attach to a VM's own program. */
export interface AttachSpec {
  /** Carry stdin. */
  readonly stdin: boolean;
  /** Replay what was written before. */
  readonly logs: boolean;
  /** Start the VM once attached; for one that goes on: where the boot that it waits for was never begun. */
  readonly start: boolean;
  /** The caller's own name for it; empty: it ends with its call. */
  readonly id: string;
  /** Goes on after a lost connection, from a place where one is known. */
  readonly resume?: { readonly after: OutputPlace | undefined };
}

/** What an attach says to its caller, in order; `exit` is the last. */
export type AttachOutput =
  | { readonly kind: "attached" }
  /** Said before the VM is started: where its output will begin. */
  | { readonly kind: "starting"; readonly next: OutputPlace }
  /** Where to go on, should the connection break now. */
  | {
      readonly kind: "resumable";
      readonly next: OutputPlace;
      readonly stdinNext: bigint;
      readonly stdinUnwanted: boolean;
    }
  | {
      readonly kind: "output";
      readonly stream: LogStream;
      readonly data: Uint8Array;
      readonly next: OutputPlace;
    }
  | { readonly kind: "stdin-taken"; readonly taken: bigint }
  | { readonly kind: "stalled"; readonly reason: string; readonly message: string }
  | { readonly kind: "exit"; readonly code: number };

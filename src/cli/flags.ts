// Flags as data: one description from which parsing, help, completion and the reference pages come.

import type { MountForm } from "./complete-mounts.js";
import type { NameKind } from "./offered-names.js";

/** What a name on the command line may be completed with. */
export type Completion = NameKind | MountForm | "file" | "none";

/** What every flag has. */
export interface FlagText {
  /** One letter. */
  readonly short?: string;
  /** What it does, one line. */
  readonly help: string;
  /** Accepted and completed, but not shown. */
  readonly hidden?: boolean;
}

/** A switch. */
export interface BooleanFlag extends FlagText {
  readonly kind: "boolean";
  readonly fallback: boolean;
}

/** A flag with a value, or with several. */
export interface ValueFlag extends FlagText {
  /** "list" may be given again and again. */
  readonly kind: "string" | "list";
  /** Name of the value in help: "SIZE". */
  readonly value: string;
  /** What holds without the flag, as shown in help. */
  readonly fallback?: string;
  /** All that it may be. */
  readonly choices?: readonly string[];
  /** Why nothing else can be chosen: the hint where it was tried. */
  readonly why?: string;
  readonly complete?: Completion;
}

/** Any flag. */
export type Flag = BooleanFlag | ValueFlag;
/** Flags by their long names. */
export type FlagTable = Readonly<Record<string, Flag>>;

/** What parsing gives for a table of flags. A string flag that was not given is absent. */
export type FlagValues<F extends FlagTable> = {
  readonly [K in keyof F]: F[K] extends BooleanFlag
    ? boolean
    : F[K] extends { readonly kind: "list" }
      ? readonly string[]
      : string | undefined;
};

/** A switch. One that is on by default is turned off with `--no-NAME` or `--NAME=false`. */
export function bool(help: string, more: Partial<Omit<BooleanFlag, "kind" | "help">> = {}) {
  return { kind: "boolean", help, fallback: false, ...more } as const satisfies BooleanFlag;
}

/** A flag with one value. */
export function text(
  value: string,
  help: string,
  more: Partial<Omit<ValueFlag, "kind" | "help" | "value">> = {},
) {
  return { kind: "string", value, help, ...more } as const satisfies ValueFlag;
}

/** A flag that may be repeated. */
export function list(
  value: string,
  help: string,
  more: Partial<Omit<ValueFlag, "kind" | "help" | "value">> = {},
) {
  return { kind: "list", value, help, ...more } as const satisfies ValueFlag;
}

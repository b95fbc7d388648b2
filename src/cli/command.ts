// What a verb is: its words, its flags, its examples, and the function that does it.

import type { Context } from "./context.js";
import type { Completion, FlagTable, FlagValues } from "./flags.js";

/** Names after the flags: "IMAGE", then "[COMMAND]", then "[ARG...]". */
export interface Operand {
  /** As in the synopsis: "VM", "[COMMAND]", "VM...", "[ARG...]". */
  readonly name: string;
  readonly complete?: Completion;
  readonly choices?: readonly string[];
}

/** A line for help and the reference page. */
export interface Example {
  readonly does: string;
  readonly line: string;
}

/** What the command line gave, typed by the flags. */
export interface Input<F extends FlagTable> {
  readonly flags: FlagValues<F>;
  readonly operands: readonly string[];
}

interface CommandText<F extends FlagTable> {
  /** Paragraphs for help and the reference page. */
  readonly description: string;
  readonly operands: readonly Operand[];
  readonly flags: F;
  /** Flags end at the first operand: what follows belongs to the program. */
  readonly stopAtOperand?: boolean;
  /** Exit code where kiln itself failed. Default 1, and 2 for wrong usage; with 125 both are 125. */
  readonly failureCode?: 1 | 125;
  readonly examples: readonly Example[];
  /** Why a flag that Docker's verb has is missing here. */
  readonly explainFlag?: (name: string) => string | undefined;
}

/** A verb as it is written: `run` sees its own flags' types. Gives the exit code; throws KilnError. */
export interface CommandSpec<F extends FlagTable> extends CommandText<F> {
  run(context: Context, input: Input<F>): Promise<number>;
}

/** Flags and operands of any command. */
export interface ParsedInput {
  readonly flags: Readonly<Record<string, boolean | string | readonly string[] | undefined>>;
  readonly operands: readonly string[];
}

/** A verb as the table holds it. */
export interface Command extends CommandText<FlagTable> {
  run(context: Context, input: ParsedInput): Promise<number>;
}

/** Infers the flags' types; otherwise returns what it gets. */
export function defineCommand<const F extends FlagTable>(spec: CommandSpec<F>): Command {
  // The table only ever calls `run` with what was parsed by this very command's flags.
  return spec as unknown as Command;
}

// What a verb may touch of the world: streams, environment, kilnd. Tests give it another world.

import { hasReason } from "../base/errors.js";
import type { Kiln, ListVmsOptions, VmInfo } from "../sdk/index.js";
import { safeText } from "./render/safe-text.js";
import type { Style } from "./render/style.js";

/** Where text goes. */
export interface Sink {
  readonly isTTY: boolean;
  /** Width of the terminal; 80 where there is none. */
  readonly columns: number;
  /** Resolves when more may be written. */
  write(data: string | Uint8Array): Promise<void>;
}

/** How a verb wants to be connected. */
export interface ConnectWish {
  /** false: never starts kilnd. Default true. */
  readonly start?: boolean;
}

/** The world of one run. */
export interface Context {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Colours for stderr and stdout, as NO_COLOR and friends allow. */
  readonly style: Style;
  readonly now: () => Date;
  /** `--host`. */
  readonly host: string | undefined;
  /** The one connection of this run, opened at the first call. */
  connect(wish?: ConnectWish): Promise<Kiln>;
  /** `kiln.vms.list()` by a connection of its own, without all of the SDK. */
  listVms(options: ListVmsOptions): Promise<VmInfo[]>;
  /** Prints one line of the program's own to stderr. */
  note(line: string): Promise<void>;
  /** Prints an error as it would end the program; for verbs with several targets that go on. */
  report(error: unknown): Promise<void>;
}

/** Prints a line of data; a terminal is shown what it would act on, a program gets it as it is. */
export function printLine({ stdout }: Context, line: string): Promise<void> {
  return stdout.write(`${stdout.isTTY ? safeText(line) : line}\n`);
}

/**
 * Does one thing for each target, prints the target where it went well and the error where not.
 *
 * @param fine the reason of an error that is told and is no failure
 * @returns 0, or 1 where any of them failed
 */
export async function forEachTarget(
  context: Context,
  targets: readonly string[],
  body: (target: string) => Promise<string | undefined>,
  fine?: string,
): Promise<number> {
  let code = 0;
  for (const target of targets) {
    try {
      const line = await body(target);
      if (line !== undefined) await printLine(context, line);
    } catch (error) {
      if (fine === undefined || !hasReason(error, fine)) code = 1;
      await context.report(error);
    }
  }
  return code;
}

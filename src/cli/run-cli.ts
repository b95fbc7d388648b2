// One run of the command: global flags, the verb, its arguments, its exit code. Errors end here.

import { nearest } from "../base/suggest.js";
import type { Command } from "./command.js";
import type { Context } from "./context.js";
import { insteadOf } from "./docker-verbs.js";
import { GLOBAL_FLAGS } from "./global-flags.js";
import { parseCommandLine } from "./parse.js";
import { requireUtf8 } from "./raw-words.js";
import { usageError } from "./usage-error.js";
import { FAMILIES, type FoundVerb, findVerb, VERBS } from "./verbs.js";

/** Looks the table of verbs through, and is therefore not in it. */
const COMPLETE: FoundVerb = {
  verb: {
    ...{ name: "__complete", group: "System", summary: "", hidden: true },
    load: async () => (await import("./verbs/complete.js")).command,
  },
  words: 1,
};

/** Makes the context once the global flags are known. */
export type MakeContext = (globals: Globals) => Context;

/** What the flags before the verb say. */
export interface Globals {
  readonly host: string | undefined;
  readonly debug: boolean;
}

interface GlobalFlags extends Globals {
  readonly help: boolean;
  readonly version: boolean;
  readonly rest: readonly string[];
}

/** Runs the arguments to an exit code. Never throws. */
export async function runCli(args: readonly string[], makeContext: MakeContext): Promise<number> {
  let globals: GlobalFlags = { host: undefined, debug: false, help: false, version: false, rest: args };
  let context: Context | undefined;
  let failureCode = 1;
  try {
    globals = takeGlobals(args);
    context = makeContext(globals);
    const found = globals.rest[0] === COMPLETE.verb.name ? COMPLETE : findVerb(globals.rest);
    if (found === undefined) return await withoutVerb(context, globals);
    const command = await found.verb.load();
    failureCode = command.failureCode ?? 1;
    return await runVerb(context, found, command, globals.rest.slice(found.words), globals.help);
  } catch (error) {
    context ??= makeContext(globals);
    await context.report(error);
    const { exitCodeOf } = await import("./exit-code.js");
    return exitCodeOf(error, failureCode);
  }
}

async function runVerb(
  context: Context,
  { verb }: FoundVerb,
  command: Command,
  args: readonly string[],
  help: boolean,
): Promise<number> {
  if (help || asksForHelp(command, args)) {
    const { verbHelp } = await import("./help.js");
    await context.stdout.write(verbHelp(verb, command, context.style));
    return 0;
  }
  requireUtf8("cmdline", args, `read the arguments of kiln ${verb.name}`);
  return command.run(context, parseCommandLine(verb.name, command, args, command.explainFlag));
}

/** `--help` before the operands end; `-h` too where the verb has no such flag of its own. */
function asksForHelp(command: Command, args: readonly string[]): boolean {
  const shorts = Object.values(command.flags).map(({ short }) => short);
  for (const arg of args) {
    if (arg === "--") return false;
    if (arg === "--help" || (arg === "-h" && !shorts.includes("h"))) return true;
    if (command.stopAtOperand === true && !arg.startsWith("-")) return false;
  }
  return false;
}

async function withoutVerb(context: Context, globals: GlobalFlags): Promise<number> {
  const [word] = globals.rest;
  if (globals.version) {
    const { packageVersion } = await import("./package-version.js");
    await context.stdout.write(`kiln ${packageVersion()}\n`);
    return 0;
  }
  const { familyHelp, generalHelp } = await import("./help.js");
  if (word !== undefined && FAMILIES.includes(word)) return inFamily(context, word, globals, familyHelp);
  if (word !== undefined && word !== "help") throw unknownVerb(word);
  if (word === "help") return runCli([...globals.rest.slice(1), "--help"], () => context);
  await (globals.help ? context.stdout : context.stderr).write(generalHelp(context.style));
  return globals.help ? 0 : 2;
}

async function inFamily(
  context: Context,
  family: string,
  globals: GlobalFlags,
  familyHelp: typeof import("./help.js").familyHelp,
): Promise<number> {
  const next = globals.rest[1];
  const help = globals.help || next === "--help" || next === "-h";
  if (next !== undefined && !help) throw unknownVerb(`${family} ${next}`);
  await (help ? context.stdout : context.stderr).write(familyHelp(family, context.style));
  return help ? 0 : 2;
}

function unknownVerb(word: string): Error {
  const instead = insteadOf(word);
  if (instead !== undefined) return usageError("", `there is no verb "${word}"`, instead);
  const names = VERBS.filter((verb) => verb.hidden !== true).flatMap(({ name, aliases = [] }) => [
    name,
    ...aliases,
  ]);
  const meant = nearest(word, names);
  return usageError(
    "",
    `there is no verb "${word}"`,
    meant === undefined ? undefined : `did you mean ${meant}?`,
  );
}

/** The flags before the verb. Everything from the verb on is left to it. */
function takeGlobals(args: readonly string[]): GlobalFlags {
  const { flags, operands } = parseCommandLine(
    "",
    { flags: GLOBAL_FLAGS, operands: [{ name: "[VERB...]" }], stopAtOperand: true },
    args,
  );
  return {
    host: typeof flags.host === "string" ? flags.host : undefined,
    debug: flags.debug === true,
    help: flags.help === true,
    version: flags.version === true,
    rest: operands,
  };
}

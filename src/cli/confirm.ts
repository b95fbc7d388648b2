// "Are you sure": before something is removed that cannot be had back.

import { Code, KilnError } from "../base/errors.js";
import type { Context } from "./context.js";

/**
 * Asks on the terminal; yes without asking where `force`.
 *
 * @throws KilnError failed_precondition `not-confirmed` where there is nobody to ask
 */
export async function confirm(context: Context, question: string, force: boolean): Promise<boolean> {
  if (force) return true;
  if (context.stdin.isTTY !== true) {
    throw new KilnError(Code.FailedPrecondition, "nobody can be asked: stdin is not a terminal", {
      reason: "not-confirmed",
      hint: "add -f if you mean it",
    });
  }
  await context.stderr.write(`${question} [y/N] `);
  const answer = await firstLine(context.stdin);
  return /^y(es)?$/i.test(answer.trim());
}

async function firstLine(stdin: NodeJS.ReadStream): Promise<string> {
  let text = "";
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    text += chunk.toString("utf8");
    if (text.includes("\n")) break;
  }
  return text.split("\n")[0] ?? "";
}

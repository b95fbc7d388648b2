// The hidden `kiln __complete`: candidates for the shells' completion scripts.

import { defineCommand } from "../command.js";
import { type AskNames, completeWords } from "../complete.js";
import type { Context } from "../context.js";
import { OFFERED_NAMES } from "../offered-names.js";
import { offeredPaths } from "../offered-paths.js";
import { safeLine } from "../render/safe-text.js";

/** Whoever presses the tab key does not wait longer. */
const PATIENCE_MS = 300;

export const command = defineCommand({
  description: "\nPrints completion candidates for the words after it.\n",
  operands: [{ name: "[WORD...]" }],
  stopAtOperand: true,
  flags: {},
  examples: [],
  async run(context, { operands }) {
    const { candidates, files } = await completeWords(
      operands.length === 0 ? [""] : operands,
      askKilnd(context, operands.at(-1) ?? ""),
      (typed) => offeredPaths(typed, { cwd: context.cwd, home: context.env.HOME }),
    );
    const lines = candidates.map(({ value, text }) => `${safeLine(value)}\t${safeLine(text)}\n`);
    await context.stdout.write(`${lines.join("")}${files ? ":files" : ":none"}\n`);
    return 0;
  },
});

/** Names from a running kilnd. None is started for it, and no failure may disturb the command line. */
function askKilnd(context: Context, typed: string): AskNames {
  return async (kind, operands) => {
    try {
      const kiln = await context.connect({ start: false });
      return await OFFERED_NAMES[kind]({ kiln, operands, typed, limit: { timeoutMs: PATIENCE_MS } });
    } catch {
      return []; // completion without names is still completion
    }
  };
}

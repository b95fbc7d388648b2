// The hidden `kiln __exec-failed`: words and exit code for an exec that the native front end carried and that failed. It
// reports only: the program may have run.

import { readFileSync } from "node:fs";
import { execFailure } from "../../sdk/index.js";
import { defineCommand } from "../command.js";

export const command = defineCommand({
  description:
    "\nReports an exec of the front end that failed. BODY is the descriptor that holds kilnd's answer.\n",
  operands: [{ name: "STATUS" }, { name: "[BODY]" }],
  failureCode: 125,
  flags: {},
  examples: [],
  async run(_context, { operands: [status, body] }) {
    throw execFailure(Number(status), body === undefined ? "" : readFileSync(Number(body), "utf8"));
  },
});

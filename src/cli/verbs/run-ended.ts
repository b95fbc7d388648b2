// The hidden `kiln __run-ended`: words and exit code for a VM that the native front end ran, where its program's code
// alone does not say how it ended.

import { readFileSync } from "node:fs";
import { attachExitFromBinary } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { endOf } from "../program-end.js";

export const command = defineCommand({
  description:
    "\nReports how a VM of the front end ended. BODY is the descriptor that holds kilnd's answer.\n",
  operands: [{ name: "VM" }, { name: "BODY" }],
  failureCode: 125,
  flags: {},
  examples: [],
  async run(context, { operands: [name = "", body] }) {
    return endOf(context, name, await attachExitFromBinary(readFileSync(Number(body))));
  },
});

// The hidden `kiln __call-failed`: words and exit code for a call that the native front end made and that failed. It
// does not call again: what was asked for may have been done.

import { readFileSync } from "node:fs";
import { callFailure, daemonLost, daemonSilent } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { bool, text } from "../flags.js";
import { removeQuietly } from "../remove-quietly.js";

export const command = defineCommand({
  description:
    "\nReports a call of the front end that failed. BODY is the descriptor that holds kilnd's answer.\n",
  operands: [{ name: "METHOD" }, { name: "STATUS" }, { name: "[BODY]" }],
  failureCode: 125,
  flags: {
    lost: bool("kilnd went away and stayed away"),
    silent: bool("kilnd is there and does not answer"),
    rm: text("VM", "Remove the VM that the call was for"),
  },
  examples: [],
  async run(context, { flags: { lost, silent, rm }, operands: [method = "", status, body] }) {
    if (silent) throw daemonSilent(method);
    const failure = callFailure(
      method,
      Number(status),
      body === undefined ? "" : readFileSync(Number(body), "utf8"),
    );
    if (rm !== undefined) await removeQuietly(async () => (await context.connect()).vms.ref(rm));
    throw lost ? daemonLost(method, failure) : failure;
  },
});

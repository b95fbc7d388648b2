// The hidden `kiln __start-daemon`: brings kilnd up for the native front end, which waits for it by itself.

import { defineCommand } from "../command.js";

export const command = defineCommand({
  description: "\nStarts kilnd where nobody listens on the default socket.\n",
  operands: [],
  flags: {},
  examples: [],
  async run(context) {
    await context.connect();
    return 0;
  },
});

// `kiln image inspect`.

import { defineCommand } from "../command.js";
import { text } from "../flags.js";
import { command as inspect } from "./inspect.js";

export const command = defineCommand({
  description: `
Shows all that is known of images, as a JSON array, or of each what a template asks for.
`,
  operands: [{ name: "IMAGE...", complete: "image" }],
  flags: {
    format: text("FORMAT", "json, or a template like '{{.config.cmd}}'", { short: "f", fallback: "json" }),
  },
  examples: [{ does: "what it runs", line: "kiln image inspect -f '{{json .config.cmd}}' nginx" }],
  run: (context, { flags, operands }) =>
    inspect.run(context, { flags: { ...flags, type: "image" }, operands }),
});

// `kiln create`: a VM that is not started yet.

import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { createVm } from "../create-vm.js";
import { explainFlag } from "../docker-flags.js";
import { runFlags } from "../run-flags.js";

export const command = defineCommand({
  description: `
Makes a VM of an image and prints its id. \`kiln start\` starts it. Takes the flags of \`kiln run\`, apart from those
that are about being attached.
`,
  operands: [
    { name: "IMAGE", complete: "image" },
    { name: "[COMMAND]", complete: "none" },
    { name: "[ARG...]", complete: "none" },
  ],
  stopAtOperand: true,
  explainFlag,
  flags: runFlags,
  examples: [
    {
      does: "make it now, start it later",
      line: "kiln create --name web -p 8080:80 nginx && kiln start web",
    },
  ],
  async run(context, { flags, operands }) {
    const vm = await createVm(context, "create", flags, operands);
    await printLine(context, vm.id);
    return 0;
  },
});

// `kiln kernel rm`.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { bool } from "../flags.js";

export const command = defineCommand({
  description: "\nRemoves kernels and prints their names. One that VMs use is refused unless -f is given.\n",
  operands: [{ name: "KERNEL...", complete: "kernel" }],
  flags: { force: bool("Also where VMs use it", { short: "f" }) },
  examples: [{ does: "remove one", line: "kiln kernel rm mine" }],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    return forEachTarget(
      context,
      operands,
      async (name) => {
        await kiln.kernels.remove(name, { force: flags.force });
        return name;
      },
      flags.force ? "kernel-not-found" : undefined,
    );
  },
});

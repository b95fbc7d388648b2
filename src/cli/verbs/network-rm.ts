// `kiln network rm`.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { bool } from "../flags.js";

export const command = defineCommand({
  description: `
Removes networks, and prints their names. One that a VM is on is refused, whether the VM runs or not, also with -f. With -f one
that is gone already is said and is no failure.
`,
  operands: [{ name: "NETWORK...", complete: "network" }],
  flags: { force: bool("One that is not there is no failure", { short: "f" }) },
  examples: [{ does: "remove one", line: "kiln network rm web" }],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    return forEachTarget(
      context,
      operands,
      async (name) => {
        await kiln.networks.remove(name);
        return name;
      },
      flags.force ? "network-not-found" : undefined,
    );
  },
});

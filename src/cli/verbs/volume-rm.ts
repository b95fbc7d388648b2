// `kiln volume rm`.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { bool } from "../flags.js";

export const command = defineCommand({
  description: `
Removes volumes with all that is in them, and prints their names. One that a VM has among its mounts is refused, whether
the VM runs or not, also with -f. With -f one that is gone already is said and is no failure.
`,
  operands: [{ name: "VOLUME...", complete: "volume" }],
  flags: { force: bool("One that is not there is no failure", { short: "f" }) },
  examples: [
    { does: "remove one", line: "kiln volume rm data" },
    { does: "remove all that no VM has", line: "kiln volume rm $(kiln volume ls -q -f dangling=true)" },
  ],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    return forEachTarget(
      context,
      operands,
      async (name) => {
        await kiln.volumes.remove(name);
        return name;
      },
      flags.force ? "volume-not-found" : undefined,
    );
  },
});

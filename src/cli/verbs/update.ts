// `kiln update`: what can be changed of a VM that exists.

import { parseDuration } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { text } from "../flags.js";
import { usageError } from "../usage-error.js";

export const command = defineCommand({
  description: `
Changes the lifetime of VMs, running or not, and prints their names. One that runs is stopped so long from now; at later
starts the time counts from the start. With none it runs until it ends. All else a VM keeps: make another with \`kiln run\`.
`,
  operands: [{ name: "VM...", complete: "vm" }],
  flags: {
    lifetime: text("DURATION", "Stop the VMs so long from now: 90s, 10m, 2h; or none"),
  },
  examples: [
    { does: "ten minutes more, from now", line: "kiln update --lifetime 10m box" },
    { does: "keep it", line: "kiln update --lifetime none box" },
  ],
  async run(context, { flags: { lifetime }, operands }) {
    if (lifetime === undefined) throw usageError("update", "what is to be changed is missing: --lifetime");
    const lifetimeMs = lifetime === "none" ? 0 : parseDuration(lifetime, "--lifetime");
    const kiln = await context.connect();
    return forEachTarget(context, operands, async (name) => {
      await kiln.vms.ref(name).update({ lifetimeMs });
      return name;
    });
  },
});

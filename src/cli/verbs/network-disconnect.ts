// `kiln network disconnect`.

import { defineCommand } from "../command.js";
import { bool } from "../flags.js";

export const command = defineCommand({
  description: `
Takes a VM off a network; its addresses there are free for others. One that runs by QEMU is off it at once, whatever its guest does; by
Firecracker it has to be stopped first.
With -f a VM or a network that is not there, or is not on it, is no failure.
`,
  operands: [
    { name: "NETWORK", complete: "network" },
    { name: "VM", complete: "vm" },
  ],
  flags: { force: bool("Where it is not on it that is no failure", { short: "f" }) },
  examples: [{ does: "take one off", line: "kiln network disconnect web db" }],
  async run(context, { flags, operands: [network = "", vm = ""] }) {
    const { hasReason } = await import("../../sdk/index.js");
    const kiln = await context.connect();
    try {
      await kiln.networks.disconnect(vm, network);
    } catch (error) {
      const isGone = GONE.some((reason) => hasReason(error, reason));
      if (!flags.force || !isGone) throw error;
    }
    return 0;
  },
});

const GONE = ["not-connected", "network-not-found", "vm-not-found"];

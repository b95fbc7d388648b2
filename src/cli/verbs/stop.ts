// `kiln stop`: the stop signal, some grace, then the end.

import { parseDuration } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { text } from "../flags.js";

/** Flags of `stop` and `restart`. */
export const stopFlags = {
  signal: text("SIGNAL", "Signal that asks the program to end", { short: "s", fallback: "the VM's" }),
  time: text("SECONDS", "Grace before it is killed; also 500ms, 1m", {
    short: "t",
    fallback: "the VM's, or 10",
  }),
} as const;

export const command = defineCommand({
  description: `
Asks the programs of VMs to end with their stop signal, kills those that do not in time, and prints the VMs' names.
Disks are written out first. In system mode the guest shuts down.
`,
  operands: [{ name: "VM...", complete: "running-vm" }],
  flags: stopFlags,
  examples: [
    { does: "stop a server", line: "kiln stop web" },
    { does: "give a database a minute", line: "kiln stop -t 60 db" },
  ],
  async run(context, { flags, operands }) {
    const graceMs = flags.time === undefined ? undefined : parseDuration(flags.time, "-t");
    const kiln = await context.connect();
    // All at once: each may take its whole grace.
    const stopping = operands.map((name) => kiln.vms.ref(name).stop({ graceMs, stopSignal: flags.signal }));
    for (const stop of stopping) stop.catch(() => undefined); // told below, in order
    return forEachTarget(context, operands, async (name) => {
      await stopping[operands.indexOf(name)];
      return name;
    });
  },
});

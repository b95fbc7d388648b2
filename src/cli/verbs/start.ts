// `kiln start`: VMs that were created or have ended.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "../detach-keys.js";
import { bool, text } from "../flags.js";
import { endOf } from "../program-end.js";
import { runSession } from "../session.js";
import { usageError } from "../usage-error.js";

export const command = defineCommand({
  description: `
Starts VMs and prints their names; returns once their programs run. A VM that runs already is left alone. With -a it
attaches to the one VM, as \`kiln run\` does, and the exit code is the program's.
`,
  operands: [{ name: "VM...", complete: "vm" }],
  flags: {
    attach: bool("Attach to its output", { short: "a" }),
    "detach-keys": text("KEYS", "Keys that leave the program running", { fallback: DEFAULT_DETACH_KEYS }),
    interactive: bool("Attach, and give it our stdin", { short: "i" }),
  },
  examples: [
    { does: "start two VMs", line: "kiln start web db" },
    { does: "start one and watch it", line: "kiln start -a job" },
  ],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    if (!flags.attach && !flags.interactive) {
      return forEachTarget(context, operands, async (name) => {
        await kiln.vms.ref(name).start();
        return name;
      });
    }
    const [name = "", ...others] = operands;
    if (others.length > 0) throw usageError("start", "-a and -i take one VM");
    const vm = await kiln.vms.get(name);
    const { tty } = vm.info.config;
    const program = vm.attach({ start: true, stdin: flags.interactive });
    const detachKeys = parseDetachKeys(flags["detach-keys"] ?? DEFAULT_DETACH_KEYS);
    const end = await runSession(context, program, {
      tty,
      stdin: flags.interactive,
      closeStdin: true,
      detachKeys,
      signals: true,
    });
    return end === "detached" ? 0 : endOf(context, vm.name, await program.exit());
  },
});

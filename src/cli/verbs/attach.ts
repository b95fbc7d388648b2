// `kiln attach`: the program of a running VM on this terminal.

import { defineCommand } from "../command.js";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "../detach-keys.js";
import { bool, text } from "../flags.js";
import { endOf } from "../program-end.js";
import { runSession } from "../session.js";

export const command = defineCommand({
  description: `
Attaches to the program of a running VM: its output here, and our input to it where it was started with -i. The exit
code is the program's. On a terminal ctrl-p ctrl-q leaves it running; without one, ending kiln attach does (signals go
to the program, unless --no-sig-proxy).
`,
  operands: [{ name: "VM", complete: "running-vm" }],
  flags: {
    "detach-keys": text("KEYS", "Keys that leave the program running", { fallback: DEFAULT_DETACH_KEYS }),
    "no-stdin": bool("Only show its output"),
    "sig-proxy": bool("Do not pass signals on to the program", { fallback: true }),
  },
  examples: [
    { does: "back to a shell left with ctrl-p ctrl-q", line: "kiln attach box" },
    { does: "only watch", line: "kiln attach --no-stdin --no-sig-proxy web" },
  ],
  async run(context, { flags, operands: [name = ""] }) {
    const detachKeys = parseDetachKeys(flags["detach-keys"] ?? DEFAULT_DETACH_KEYS);
    const kiln = await context.connect();
    const vm = await kiln.vms.get(name);
    const { tty, openStdin } = vm.info.config;
    const stdin = openStdin && !flags["no-stdin"];
    const program = vm.attach({ stdin });
    const end = await runSession(context, program, {
      tty,
      stdin,
      closeStdin: false,
      detachKeys,
      signals: flags["sig-proxy"],
    });
    return end === "detached" ? 0 : endOf(context, vm.name, await program.exit());
  },
});

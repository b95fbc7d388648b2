// `kiln run`: create, start, attach, and the program's exit code.

import type { Vm } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { createVm } from "../create-vm.js";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "../detach-keys.js";
import { explainFlag } from "../docker-flags.js";
import { bool, text } from "../flags.js";
import { endOf } from "../program-end.js";
import { runFlags } from "../run-flags.js";
import { runSession } from "../session.js";
import { requireTerminal } from "../terminal.js";

export const command = defineCommand({
  description: `
Makes a VM of an image, starts it, and shows its output until its program ends. The exit code is the program's;
125 where kiln failed, 126 where the program cannot be executed, 127 where it is not found.

IMAGE is a registry reference (nginx, ghcr.io/a/b:1), oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE.
Flags end at IMAGE: what follows is the program and its arguments, instead of the image's CMD.
Without a terminal, signals that kiln gets go to the program. With -it, ctrl-p ctrl-q leaves it running.
`,
  operands: [
    { name: "IMAGE", complete: "image" },
    { name: "[COMMAND]", complete: "none" },
    { name: "[ARG...]", complete: "none" },
  ],
  stopAtOperand: true,
  failureCode: 125,
  explainFlag,
  flags: {
    ...runFlags,
    detach: bool("Leave the VM running and print its id", { short: "d" }),
    "detach-keys": text("KEYS", "Keys that leave the program running", { fallback: DEFAULT_DETACH_KEYS }),
    "sig-proxy": bool("Do not pass signals on to the program", { fallback: true }),
  },
  examples: [
    { does: "a shell in a VM that is gone afterwards", line: "kiln run --rm -it debian:bookworm bash" },
    { does: "a server, on port 8080 of this machine", line: "kiln run -d --name web -p 8080:80 nginx" },
    {
      does: "another program, with more memory",
      line: "kiln run --rm -m 2g --cpus 2 python:3.12 python -c 'print(6*7)'",
    },
    {
      does: "an image with systemd, as a whole machine",
      line: "kiln run -d --init system --name box oci:./debian-systemd",
    },
    { does: "a filter", line: "echo hello | kiln run --rm -i debian:bookworm tr a-z A-Z" },
  ],
  async run(context, { flags, operands }) {
    const keys = parseDetachKeys(flags["detach-keys"] ?? DEFAULT_DETACH_KEYS);
    if (!flags.detach) requireTerminal(context, "run", flags.tty && flags.interactive);
    const vm = await createVm(context, "run", flags, operands);
    if (flags.detach) {
      await orRemove(vm, flags.rm, () => vm.start());
      await printLine(context, vm.id);
      return 0;
    }
    const program = vm.attach({ stdin: flags.interactive, start: true });
    const session = {
      tty: flags.tty,
      stdin: flags.interactive,
      closeStdin: true,
      detachKeys: keys,
      signals: flags["sig-proxy"],
    };
    const end = await orRemove(vm, flags.rm, () => runSession(context, program, session));
    return end === "detached" ? 0 : endOf(context, vm.name, await program.exit());
  },
});

/** With --rm a VM that could not even start is not left behind. */
async function orRemove<T>(vm: Vm, remove: boolean, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (remove) await vm.remove({ force: true }).catch(() => undefined); // gone already, or kilnd is
    throw error;
  }
}

// `kiln run`: create, start, attach, and the program's exit code. The reference for agent/front, which does the plain
// cases without starting Node: what changes here, in run-flags.ts or in session.ts changes there
// (test/contract/front-*.test.ts hold both to it).

import type { Vm, VmStatus } from "../../sdk/index.js";
import { type ClientMoments, processAgeMs, renderTiming } from "../boot-timing.js";
import { defineCommand } from "../command.js";
import type { Context } from "../context.js";
import { printLine } from "../context.js";
import { createVm } from "../create-vm.js";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "../detach-keys.js";
import { explainFlag } from "../docker-flags.js";
import { bool, text } from "../flags.js";
import { endOf } from "../program-end.js";
import { removeQuietly } from "../remove-quietly.js";
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
    timing: bool("Print on stderr where the time of the start went"),
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
    { does: "where the time goes", line: "kiln run --rm --timing alpine true" },
    { does: "a filter", line: "echo hello | kiln run --rm -i debian:bookworm tr a-z A-Z" },
  ],
  async run(context, { flags, operands }) {
    const keys = parseDetachKeys(flags["detach-keys"] ?? DEFAULT_DETACH_KEYS);
    if (!flags.detach) requireTerminal(context, "run", flags.tty && flags.interactive);
    const loadedMs = processAgeMs();
    const vm = await createVm(context, "run", flags, operands);
    const createdMs = processAgeMs();
    if (flags.detach) {
      const askedMs = processAgeMs();
      const started = await orRemove(
        vm,
        () => flags.rm,
        () => vm.start(),
      );
      await printLine(context, vm.id);
      if (flags.timing) await printTiming(context, started.status, { loadedMs, createdMs, askedMs });
      return 0;
    }
    const askedMs = processAgeMs();
    const program = vm.attach({ stdin: flags.interactive, start: true });
    const session = {
      tty: flags.tty,
      stdin: flags.interactive,
      closeStdin: true,
      detachKeys: keys,
      signals: flags["sig-proxy"],
    };
    const end = await orRemove(
      vm,
      () => flags.rm && !program.begun,
      () => runSession(context, program, session),
    );
    if (end === "detached") return 0;
    const exit = await program.exit();
    const moments = { loadedMs, createdMs, askedMs, endedMs: processAgeMs() };
    if (flags.timing) await printTiming(context, exit.status, moments);
    return endOf(context, vm.name, exit);
  },
});

async function printTiming(context: Context, status: VmStatus, moments: ClientMoments): Promise<void> {
  // A VM whose program never ran has no stages to show; its error says more.
  if (status.timings.startedMs > 0) await context.stderr.write(renderTiming(moments, status.timings));
}

/** With --rm a VM that could not even start is not left behind. */
async function orRemove<T>(vm: Vm, remove: () => boolean, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (remove()) await removeQuietly(() => vm);
    throw error;
  }
}

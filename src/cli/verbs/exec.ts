// `kiln exec`: one more program in a running VM. The reference for agent/front, which does the plain cases without
// starting Node: what changes here or in session.ts changes there (test/contract/front-*.test.ts hold both to it).

import { hasReason, type RestartPolicy, type SpawnOptions, type Vm } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { type Context, printLine } from "../context.js";
import { collectEnv } from "../env-file.js";
import { bool, list, text } from "../flags.js";
import { EXEC_POLICIES, parseRestart } from "../parse-restart.js";
import { runSession } from "../session.js";
import { requireTerminal, terminalSize } from "../terminal.js";
import { usageError } from "../usage-error.js";

export const command = defineCommand({
  description: `
Runs a program in a running VM, beside the one it was started with. The exit code is the program's; 125 where kiln
failed, 126 where the program cannot be executed, 127 where it is not found.

Flags end at VM. The program is not run by a shell: for pipes and variables write sh -c '...'. It ends when kiln exec is
ended. What it leaves behind in the background goes on, and is heard until it is silent for a moment: for 2 s and 1 MiB
at most.

With -d it goes on by itself, and its id is printed. Its output and its end are kept: see \`kiln logs --exec ID VM\`,
\`kiln wait --exec ID VM\`, \`kiln kill --exec ID VM\`, and \`kiln execs VM\`, which lists such programs. With --restart it is
brought back when it ends, until it is killed. It ends with its VM, also where that only reboots.
`,
  operands: [
    { name: "VM", complete: "running-vm" },
    { name: "COMMAND", complete: "none" },
    { name: "[ARG...]", complete: "none" },
  ],
  stopAtOperand: true,
  failureCode: 125,
  flags: {
    detach: bool("Leave it running, print its id and return at once", { short: "d" }),
    env: list("NAME=VALUE", "Set a variable; NAME alone takes yours, or takes it away where you have none", {
      short: "e",
    }),
    "env-file": list("FILE", "Set the variables of a file", { complete: "file" }),
    interactive: bool("Give it our stdin", { short: "i" }),
    restart: text("POLICY", "With -d, what to do when it ends: no, on-failure[:N], always", {
      fallback: "no",
    }),
    tty: bool("Run it on a terminal", { short: "t" }),
    user: text("USER[:GROUP]", "Its user, by name or number", { short: "u", fallback: "the VM's" }),
    workdir: text("DIR", "Its working directory", { short: "w", fallback: "the VM's" }),
  },
  examples: [
    { does: "a shell", line: "kiln exec -it web bash" },
    { does: "one command", line: "kiln exec web nginx -t" },
    {
      does: "as another user, with a pipe inside",
      line: "kiln exec -u www-data web sh -c 'id | tr a-z A-Z'",
    },
    {
      does: "a job of its own, brought back when it fails",
      line: "kiln exec -d --restart on-failure web ./job",
    },
    { does: "feed a file in", line: "kiln exec -i db psql -U postgres < dump.sql" },
  ],
  async run(context, { flags, operands: [name = "", ...args] }) {
    const policy =
      flags.restart === undefined ? undefined : parseRestart("exec", flags.restart, EXEC_POLICIES);
    if (policy !== undefined && !flags.detach) throw usageError("exec", "--restart goes with -d");
    if (!flags.detach) requireTerminal(context, "exec", flags.tty && flags.interactive);
    const options = {
      env: await collectEnv(flags.env, flags["env-file"], context.env),
      user: flags.user,
      workdir: flags.workdir,
      tty: flags.tty,
      ttySize: flags.tty ? terminalSize(context.stdout) : undefined,
    };
    const vm = (await context.connect()).vms.ref(name);
    if (flags.detach) {
      if (flags.interactive) await context.note("kiln: with -d the program has no stdin: -i does not count");
      await startDetached(context, vm, args, { ...options, restart: policy });
      return 0;
    }
    const program = vm.exec(args, { ...options, stdin: flags.interactive ? "pipe" : undefined });
    await runSession(context, program, {
      tty: flags.tty,
      stdin: flags.interactive,
      closeStdin: true,
      detachKeys: [],
      signals: true,
    });
    const { exitCode, error } = await program.result();
    if (error !== "") await context.note(`kiln: ${error}`);
    return exitCode;
  },
});

/** Prints its id; in a VM of an older kiln, where nothing of it is kept, says that instead. */
async function startDetached(
  context: Context,
  vm: Vm,
  args: readonly string[],
  options: SpawnOptions & { readonly restart: RestartPolicy | undefined },
): Promise<void> {
  const { restart, ...plain } = options;
  try {
    const { id } = await vm.processes.start(args, options);
    return await printLine(context, id);
  } catch (error) {
    const isOld = hasReason(error, "agent-too-old") && (restart === undefined || restart.name === "no");
    if (isOld) await vm.spawn(args, plain);
    else if (!hasReason(error, "exec-not-kept")) throw error;
  }
  await context.note("kiln: its output and its end are not kept: the VM, or kilnd, is of an older kiln");
}

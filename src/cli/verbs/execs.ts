// `kiln execs`: the programs of a VM that `kiln exec -d` has started, as a list.

import type { ProcessInfo } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool, list } from "../flags.js";
import { ago, execStatusText, idOf, wordsText } from "../render/names.js";
import { type Column, formatFlag, printRows, type Row } from "../render/rows.js";
import { truncate } from "../render/table.js";
import { usageError } from "../usage-error.js";

const COMMAND_WIDTH = 30;
const STATES = ["starting", "running", "restarting", "exited"];

const COLUMNS: readonly Column[] = [
  { header: "EXEC ID", field: "ID" },
  { header: "COMMAND", field: "Command" },
  { header: "CREATED", field: "RunningFor" },
  { header: "STATUS", field: "Status" },
];

export const command = defineCommand({
  description: `
Lists the programs of a VM that \`kiln exec -d\` and the SDK have started beside its own; with -a also those that have
ended, of which the last 32 are kept. \`kiln logs\`, \`kiln wait\` and \`kiln kill\` take such an id, or a prefix of it that no
other has, with --exec.

Fields for --format: .ID .Command .CreatedAt .RunningFor .Status .State .ExitCode .Reason .Pid .User .Restart
.RestartCount.
Filters: id=PREFIX, status=STATE (starting, running, restarting, exited).
`,
  operands: [{ name: "VM", complete: "vm" }],
  flags: {
    all: bool("Also those that have ended", { short: "a" }),
    filter: list("KEY=VALUE", "Only those that match all of these", { short: "f" }),
    format: formatFlag,
    "no-trunc": bool("Whole ids and commands"),
    quiet: bool("Only ids", { short: "q" }),
  },
  examples: [
    { does: "everything that is kept", line: "kiln execs -a web" },
    { does: "end all that run", line: "for id in $(kiln execs -q web); do kiln kill --exec $id web; done" },
    { does: "for programs", line: "kiln execs -a --format json web" },
  ],
  async run(context, { flags, operands: [name = ""] }) {
    const keep = filterOf(flags.filter);
    const all = flags.all || flags.filter.some((filter) => filter.startsWith("status="));
    const vm = (await context.connect()).vms.ref(name);
    const newest = (await vm.processes.list({ all })).filter(keep).reverse();
    if (flags.quiet && flags.format === undefined) {
      for (const { id } of newest) await printLine(context, idOf(id, flags["no-trunc"]));
      return 0;
    }
    const rows = newest.map((info) => rowOf(info, context.now(), flags["no-trunc"]));
    await printRows(context, flags.format, rows, COLUMNS);
    return 0;
  },
});

function filterOf(filters: readonly string[]): (info: ProcessInfo) => boolean {
  const tests = filters.map((filter): ((info: ProcessInfo) => boolean) => {
    const [, key = "", value = ""] = /^([^=]*)=(.*)$/s.exec(filter) ?? [];
    if (key === "id") return ({ id }) => id.startsWith(value);
    if (key === "status" && STATES.includes(value)) return ({ status }) => status.state === value;
    throw usageError("execs", `"${filter}" is no filter: there are id=PREFIX and status=${STATES.join("|")}`);
  });
  return (info) => tests.every((test) => test(info));
}

function rowOf(info: ProcessInfo, now: Date, full: boolean): Row {
  const { config, status } = info;
  const line = wordsText(config.args);
  const { name, maximumRetryCount } = config.restart;
  return {
    ID: idOf(info.id, full),
    Command: full ? line : truncate(line, COMMAND_WIDTH),
    CreatedAt: info.createdAt.toISOString(),
    RunningFor: ago(info.createdAt, now),
    Status: execStatusText(status, now),
    State: status.state,
    ExitCode: status.exitCode,
    Reason: status.reason,
    Pid: status.pid,
    User: config.user,
    Restart: maximumRetryCount === 0 ? name : `${name}:${maximumRetryCount}`,
    RestartCount: status.restartCount,
  };
}

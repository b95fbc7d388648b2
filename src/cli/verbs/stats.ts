// `kiln stats`: what VMs use.

import { formatMemory, formatSize } from "../../base/units.js";
import type { VmStats } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import type { Context } from "../context.js";
import { bool } from "../flags.js";
import { idOf } from "../render/names.js";
import { type Column, formatFlag, parseFormat, printRows, type Row } from "../render/rows.js";

const COLUMNS: readonly Column[] = [
  { header: "VM ID", field: "ID" },
  { header: "NAME", field: "Name" },
  { header: "CPU %", field: "CPUPerc" },
  { header: "MEM USAGE / LIMIT", field: "MemUsage" },
  { header: "HOST MEM", field: "HostMem" },
  { header: "NET I/O", field: "NetIO" },
  { header: "BLOCK I/O", field: "BlockIO" },
  { header: "PIDS", field: "PIDs" },
  { header: "DENIED", field: "Denied" },
];

const CLEAR_SCREEN = "\x1b[H\x1b[J";

export const command = defineCommand({
  description: `
Shows what VMs use (none named: all that run), anew every second until Ctrl-C. CPU is that of the VMM, 100% is one core.
MEM USAGE is what the guest uses, HOST MEM what that takes of this machine. DENIED is how often it was refused what it wanted to reach outside
(\`--egress\`): connections and datagrams on the user network, packets on others.

Fields for --format: .ID .Name .CPUPerc .MemUsage .HostMem .NetIO .BlockIO .PIDs .Denied.
`,
  operands: [{ name: "[VM...]", complete: "running-vm" }],
  flags: {
    format: formatFlag,
    "no-stream": bool("One sample"),
    "no-trunc": bool("Whole ids"),
  },
  examples: [
    { does: "all that run", line: "kiln stats" },
    { does: "once, for a script", line: "kiln stats --no-stream --format json" },
  ],
  async run(context, { flags, operands }) {
    const once = flags["no-stream"];
    const kiln = await context.connect();
    const redraw = !once && context.stdout.isTTY && parseFormat(flags.format).kind === "table";
    for await (const { stats } of kiln.vms.stats(operands, { once })) {
      if (redraw) await context.stdout.write(CLEAR_SCREEN);
      await print(context, flags.format, stats, flags["no-trunc"]);
    }
    return 0;
  },
});

function print(
  context: Context,
  format: string | undefined,
  stats: readonly VmStats[],
  full: boolean,
): Promise<void> {
  return printRows(
    context,
    format,
    stats.map((each) => rowOf(each, full)),
    COLUMNS,
  );
}

function rowOf(stats: VmStats, full: boolean): Row {
  return {
    ID: idOf(stats.id, full),
    Name: stats.name,
    CPUPerc: `${stats.cpuPercent.toFixed(2)}%`,
    MemUsage: `${formatMemory(stats.memoryBytes)} / ${formatMemory(stats.memoryLimitBytes)}`,
    HostMem: formatMemory(stats.rssBytes),
    NetIO: `${formatSize(stats.netRxBytes)} / ${formatSize(stats.netTxBytes)}`,
    BlockIO: `${formatSize(stats.blockReadBytes)} / ${formatSize(stats.blockWriteBytes)}`,
    PIDs: stats.processes,
    Denied: stats.egressDenied,
  };
}

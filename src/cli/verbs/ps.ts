// `kiln ps`: the VMs, as a list.

import type { VmInfo } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool, list, text } from "../flags.js";
import { parseCount } from "../parse-count.js";
import { ago, commandText, familiarImage, idOf, portsText, statusText } from "../render/names.js";
import { type Column, formatFlag, printRows, type Row } from "../render/rows.js";
import { truncate } from "../render/table.js";

const COMMAND_WIDTH = 20;
const MOUNT_WIDTH = 15;

const COLUMNS: readonly Column[] = [
  { header: "VM ID", field: "ID" },
  { header: "IMAGE", field: "Image" },
  { header: "COMMAND", field: "Command" },
  { header: "CREATED", field: "RunningFor" },
  { header: "STATUS", field: "Status" },
  { header: "PORTS", field: "Ports" },
  { header: "NAMES", field: "Names" },
];

export const command = defineCommand({
  description: `
Lists the VMs that run; with -a all of them.

Fields for --format: .ID .Image .Command .CreatedAt .RunningFor .Status .State .ExitCode .Ports .Names .Labels .Cpus
.Memory .Vmm .Accelerator .Kernel .IP .RestartCount .Mounts .LocalVolumes .Networks.
Filters: id=PREFIX, name=PART, status=STATE, label=NAME[=VALUE], ancestor=IMAGE, publish=PORT[-LAST][/PROTOCOL] (of this
machine), expose=PORT[-LAST][/PROTOCOL] (of the VM), volume=NAME (or a volume's id, a path of this machine, or one in the VM), network=NAME
(or a network's id, user, none).
`,
  explainFlag: (name) =>
    ["size", "-s"].includes(name) ? "`kiln system df` shows what the VMs take on disk" : undefined,
  operands: [],
  flags: {
    all: bool("Also those that do not run", { short: "a" }),
    filter: list("KEY=VALUE", "Only those that match all of these", { short: "f" }),
    format: formatFlag,
    latest: bool("The newest, running or not", { short: "l" }),
    last: text("N", "The N newest, running or not", { short: "n" }),
    "no-trunc": bool("Whole ids and commands"),
    quiet: bool("Only ids", { short: "q" }),
  },
  examples: [
    { does: "everything", line: "kiln ps -a" },
    { does: "names and ports", line: "kiln ps --format 'table {{.Names}}\\t{{.Ports}}'" },
    { does: "stop all that carry a label", line: "kiln stop $(kiln ps -q -f label=env=test)" },
    { does: "who has a volume", line: "kiln ps -a -f volume=data --format '{{.Names}} {{.Mounts}}'" },
    { does: "for programs", line: "kiln ps -a --format json" },
  ],
  async run(context, { flags }) {
    const last = flags.last === undefined ? undefined : parseCount("ps", "-n", flags.last);
    const limit = flags.latest ? 1 : last;
    const all =
      flags.all || limit !== undefined || flags.filter.some((filter) => filter.startsWith("status="));
    const vms = await context.listVms({ all, filter: flags.filter, limit });
    const newest = [...vms].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
    if (flags.quiet && flags.format === undefined) {
      for (const vm of newest) await printLine(context, idOf(vm.id, flags["no-trunc"]));
      return 0;
    }
    const rows = newest.map((vm) => rowOf(vm, context.now(), flags["no-trunc"]));
    await printRows(context, flags.format, rows, COLUMNS);
    return 0;
  },
});

function rowOf(vm: VmInfo, now: Date, full: boolean): Row {
  const { config, status } = vm;
  const line = commandText(vm);
  return {
    ID: idOf(vm.id, full),
    Image: familiarImage(config.image),
    Command: full ? line : truncate(line, COMMAND_WIDTH),
    CreatedAt: vm.createdAt.toISOString(),
    RunningFor: ago(vm.createdAt, now),
    Status: statusText(vm, now),
    State: status.state,
    ExitCode: status.exitCode,
    Ports: portsText(status),
    Names: vm.name,
    Labels: Object.entries(config.labels)
      .map(([name, value]) => `${name}=${value}`)
      .join(","),
    Cpus: config.cpus,
    Memory: config.memoryBytes,
    Vmm: status.vmm,
    Accelerator: status.accelerator,
    Kernel: status.kernelRelease,
    IP: status.ipAddress,
    RestartCount: status.restartCount,
    Mounts: mountsText(vm, full),
    Networks: networksText(vm),
    LocalVolumes: status.mounts.filter(({ mount }) => mount.type === "volume").length,
  };
}

/** "none" only where it is the only one. */
function networksText({ config }: VmInfo): string {
  const named = config.networks.map(({ network }) => network);
  return (config.network === "none" && named.length > 0 ? named : [config.network, ...named]).join(",");
}

/** What is mounted, not where: as Docker's, which cuts long ones. */
function mountsText({ status }: VmInfo, full: boolean): string {
  const sources = status.mounts.map(({ mount }) => mount.source).filter((source) => source !== "");
  return sources.map((source) => (full ? source : truncate(source, MOUNT_WIDTH))).join(",");
}

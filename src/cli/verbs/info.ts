// `kiln info`: the host as kilnd sees it, and what it chose.

import { Code, KilnError } from "../../base/errors.js";
import { kilnPaths } from "../../base/paths.js";
import { formatMemory, formatSize } from "../../base/units.js";
import { resolveHost, type SystemInfo } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import type { Context } from "../context.js";
import { text } from "../flags.js";
import { packageVersion } from "../package-version.js";
import { printObject } from "../render/objects.js";
import { safeLine } from "../render/safe-text.js";

export const command = defineCommand({
  description: `
Shows this client, and of kilnd the host, the VMMs with the one chosen and why, the kernel, the settings and where each
comes from, and what is wrong. Without a running kilnd it says so and shows the rest; none is started for it.
`,
  operands: [],
  flags: { format: text("FORMAT", "json, or a template like '{{.daemon.kernel.release}}'", { short: "f" }) },
  examples: [
    { does: "which VMM, and why", line: "kiln info" },
    { does: "for programs", line: "kiln info --format json" },
  ],
  async run(context, { flags }) {
    const { daemon, why } = await daemonInfo(context);
    const client = clientInfo(context);
    if (await printObject(context, flags.format, { client, daemon })) return 0;
    await context.stdout.write(`Client:\n${lines(Object.entries(client))}`);
    if (daemon === null) {
      await context.stdout.write(`Daemon: not running (${why})\n`);
      await context.stdout.write(
        "`kiln ps` starts it, as any command does that needs it; `kiln doctor` looks at this host without it.\n",
      );
    } else await context.stdout.write(describe(daemon));
    return 0;
  },
});

async function daemonInfo(context: Context): Promise<{ daemon: SystemInfo | null; why: string }> {
  try {
    const kiln = await context.connect({ start: false });
    return { daemon: await kiln.info(), why: "" };
  } catch (error) {
    if (error instanceof KilnError && error.code === Code.Unavailable)
      return { daemon: null, why: error.message };
    throw error;
  }
}

function clientInfo(context: Context): Record<string, string> {
  const { socket, isDefault } = resolveHost(context.host, context.env);
  const paths = kilnPaths(context.env, process.getuid?.() ?? 0);
  const from = context.host !== undefined ? "--host" : isDefault ? "default" : "KILN_HOST";
  return {
    version: packageVersion(),
    node: process.version,
    socket: `${socket} (${from})`,
    configDirectory: paths.config,
  };
}

function describe(info: SystemInfo): string {
  const parts = [`Daemon:\n${lines(daemonRows(info))}`, vmmLines(info), confinementLines(info)];
  const set = info.settings.filter(({ origin }) => origin !== "default");
  if (set.length > 0) {
    const rows = set.map(({ name, value, origin }): [string, string] => [name, `${value} (${origin})`]);
    parts.push(`Settings that are not the default's (all: --format json):\n${lines(rows)}`);
  }
  if (info.warnings.length > 0) {
    parts.push(`Warnings:\n${info.warnings.map((warning) => `  ${safeLine(warning)}\n`).join("")}`);
  }
  return parts.join("");
}

function daemonRows(info: SystemInfo): [string, string][] {
  const { kernel, version } = info;
  return [
    ["version", version.version],
    ["agent", version.agentVersion],
    ["user", info.rootless ? "ordinary (rootless)" : "root"],
    ["socket", info.socket],
    ...(info.pid === 0 ? [] : [["process", String(info.pid)] as [string, string]]),
    ["data", `${info.dataRoot} (${formatSize(info.diskFreeBytes)} free)`],
    ["run", info.runRoot],
    ["CPUs", String(info.cpus)],
    ["memory", formatMemory(info.memoryBytes)],
    ["VMs", `${info.vms} (${info.vmsRunning} running)`],
    ["images", String(info.images)],
    ["kernel", kernel === undefined ? "none yet" : kernelText(kernel)],
  ];
}

/** A kernel is mostly named after its release: once is enough. */
export function kernelText({ name, release, why, source }: NonNullable<SystemInfo["kernel"]>): string {
  return `${name.includes(release) ? name : `${name} ${release}`} (${why || source})`;
}

function vmmLines(info: SystemInfo): string {
  const rows = info.vmms.map((vmm): [string, string] => {
    const name = [vmm.vmm, vmm.accelerator, vmm.version].filter((part) => part !== "").join(" ");
    return [vmm.chosen ? `* ${name}` : `  ${name}`, vmm.why];
  });
  return rows.length === 0 ? "" : `VMMs (* is used):\n${lines(rows)}`;
}

function confinementLines({ confinement }: SystemInfo): string {
  const rows = confinement.map(({ part, holds, why }): [string, string] => [
    part,
    holds ? why : `NOT HERE: ${why}`,
  ]);
  return rows.length === 0 ? "" : `Confinement of VMMs:\n${lines(rows)}`;
}

function lines(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `  ${`${name}:`.padEnd(width)}${safeLine(value)}\n`).join("");
}

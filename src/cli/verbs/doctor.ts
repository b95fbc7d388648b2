// `kiln doctor`: what kiln needs of this host, checked without kilnd.

import { type NetworkInfo, resolveHost } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import type { Context } from "../context.js";
import { type Finding, failure, ok, warning } from "../doctor/check.js";
import { checkCni } from "../doctor/cni-check.js";
import {
  checkDisk,
  checkDns,
  checkLocks,
  checkMemory,
  checkNode,
  checkPlatform,
  checkSocket,
} from "../doctor/host-checks.js";
import { checkJail, checkJailFiles } from "../doctor/jail-check.js";
import { checkNetworks } from "../doctor/network-check.js";
import {
  checkAgent,
  checkFirecracker,
  checkKernel,
  checkKvm,
  checkNetguard,
  checkQemu,
  checkSetpriv,
  checkShareServer,
  checkUserNetwork,
} from "../doctor/tool-checks.js";
import { text } from "../flags.js";
import { printObject } from "../render/objects.js";
import { safeLine } from "../render/safe-text.js";

export const command = defineCommand({
  description: `
Checks all that kiln needs of this host, and says of each thing that is missing what to do. Needs no kilnd and starts
none. The exit code is 1 where something is wrong that kiln cannot work without.
`,
  operands: [],
  flags: { format: text("FORMAT", "json, or a template like '{{range .}}{{.name}} {{end}}'") },
  examples: [{ does: "before the first run, or when something does not work", line: "kiln doctor" }],
  async run(context, { flags }) {
    const findings = await examine(context);
    const broken = findings.some(({ verdict }) => verdict === "error");
    if (!(await printObject(context, flags.format, findings))) {
      for (const finding of findings) await context.stdout.write(describe(context, finding));
      await context.stdout.write(broken ? "kiln cannot work yet.\n" : "kiln can work here.\n");
    }
    return broken ? 1 : 0;
  },
});

async function examine(context: Context): Promise<Finding[]> {
  const { env } = context;
  const uid = process.getuid?.() ?? 0;
  const { socket } = resolveHost(context.host, env);
  return Promise.all([
    checkPlatform(process.platform, process.arch),
    checkNode(process.version),
    checkMemory(),
    checkDisk(env, uid),
    checkSocket(socket),
    checkLocks(env, uid),
    checkQemu(env),
    checkKvm(),
    checkFirecracker(env),
    checkSetpriv(env),
    checkJail(env, uid),
    checkJailFiles(env),
    checkUserNetwork(env),
    checkNetworks(env, uid),
    cniNetworks(context).then(checkCni),
    checkDns(),
    checkAgent(),
    checkNetguard(),
    checkShareServer(),
    checkKernel(env, uid),
    checkDaemon(context, socket),
  ]);
}

/** Undefined where kilnd can't be asked: another line says why. */
async function cniNetworks(context: Context): Promise<readonly NetworkInfo[] | undefined> {
  try {
    const kiln = await context.connect({ start: false });
    return await kiln.networks.list({ filter: ["driver=cni"], timeoutMs: 5_000 });
  } catch {
    return undefined;
  }
}

async function checkDaemon(context: Context, socket: string): Promise<Finding> {
  try {
    const kiln = await context.connect({ start: false });
    const { warnings, version, vmms } = await kiln.info({ timeoutMs: 5_000 });
    const chosen = vmms.find((vmm) => vmm.chosen);
    const how =
      chosen === undefined ? "" : `; VMs run under ${chosen.vmm} ${chosen.accelerator}: ${chosen.why}`;
    if (warnings.length > 0) return warning("kilnd", warnings.join("; "), "see `kiln info`");
    return ok("kilnd", `${version.version} at ${socket}${how}`);
  } catch (error) {
    const reason = (error as { reason?: string }).reason;
    if (reason === "daemon-not-running") return ok("kilnd", "not running; it is started when it is needed");
    return failure(
      "kilnd",
      error instanceof Error ? error.message : String(error),
      `does kilnd own ${socket}?`,
    );
  }
}

function describe({ style }: Context, { name, verdict, found, hint }: Finding): string {
  const mark = { ok: style.green("ok     "), warning: style.yellow("warning"), error: style.red("error  ") }[
    verdict
  ];
  const line = `${mark}  ${name.padEnd(13)} ${safeLine(found)}\n`;
  return hint === undefined ? line : `${line}${" ".repeat(23)}${style.cyan("hint:")} ${safeLine(hint)}\n`;
}

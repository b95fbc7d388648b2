// `kiln version`: client and daemon.

import { Code, KilnError } from "../../base/errors.js";
import type { VersionInfo } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import type { Context } from "../context.js";
import { text } from "../flags.js";
import { packageVersion } from "../package-version.js";
import { printObject } from "../render/objects.js";

/** What the client calls; kilnd of another one may refuse calls or lack fields. */
const API_VERSION = "kiln.v1";

export const command = defineCommand({
  description: "\nShows the versions of this client and of kilnd, where one runs. None is started for it.\n",
  operands: [],
  flags: { format: text("FORMAT", "json, or a template like '{{.client.version}}'") },
  examples: [{ does: "for a bug report", line: "kiln version" }],
  async run(context, { flags }) {
    const daemon = await daemonVersion(context);
    const client = {
      version: packageVersion(),
      apiVersion: API_VERSION,
      nodeVersion: process.version,
      platform: `${process.platform}/${process.arch}`,
    };
    if (!(await printObject(context, flags.format, { client, daemon }))) {
      await context.stdout.write(describe("Client", client));
      await context.stdout.write(daemon === null ? "Daemon: not running\n" : describe("Daemon", daemon));
    }
    if (daemon !== null && daemon.version !== client.version) {
      await context.note(`kiln: client ${client.version} and kilnd ${daemon.version} differ: restart kilnd`);
    }
    return 0;
  },
});

async function daemonVersion(context: Context): Promise<VersionInfo | null> {
  try {
    const kiln = await context.connect({ start: false });
    return await kiln.version();
  } catch (error) {
    if (error instanceof KilnError && error.code === Code.Unavailable) return null;
    throw error;
  }
}

function describe(title: string, version: Partial<VersionInfo>): string {
  const rows: [string, string | undefined][] = [
    ["Version", version.version],
    ["API", version.apiVersion],
    ["Agent", version.agentVersion],
    ["Node", version.nodeVersion],
    ["Platform", version.platform],
  ];
  const lines = rows.filter(([, value]) => value !== undefined && value !== "");
  return `${title}:\n${lines.map(([name, value]) => `  ${`${name}:`.padEnd(10)} ${value}\n`).join("")}`;
}

// `kiln port`: what is published, and where.

import { Code, KilnError } from "../../base/errors.js";
import { formatHostPort } from "../../base/ports.js";
import type { PortBinding } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { formatFlag, parseFormat, printRows } from "../render/rows.js";
import { usageError } from "../usage-error.js";

export const command = defineCommand({
  description: `
Lists the published ports of a VM, or where one of them is: PORT is 80, 80/tcp or 53/udp.
\`kiln port add\` and \`kiln port rm\` change them while the VM runs.
`,
  operands: [
    { name: "VM", complete: "vm" },
    { name: "[PORT]", complete: "none" },
  ],
  flags: { format: formatFlag },
  examples: [
    { does: "all of them", line: "kiln port web" },
    { does: "where port 80 is", line: "kiln port web 80" },
  ],
  async run(context, { flags, operands: [name = "", wanted] }) {
    const kiln = await context.connect();
    const ports = (await kiln.vms.get(name)).info.status.ports;
    const shown = wanted === undefined ? ports : onlyPort(name, ports, wanted);
    if (parseFormat(flags.format).kind !== "table") {
      await printRows(context, flags.format, shown.map(rowOf), []);
      return 0;
    }
    for (const port of shown) {
      const host = formatHostPort(port.hostIp || "0.0.0.0", port.hostPort);
      await printLine(context, wanted === undefined ? `${port.vmPort}/${port.protocol} -> ${host}` : host);
    }
    return 0;
  },
});

function rowOf(port: PortBinding) {
  return {
    VmPort: port.vmPort,
    Protocol: port.protocol,
    HostIp: port.hostIp || "0.0.0.0",
    HostPort: port.hostPort,
  };
}

function onlyPort(name: string, ports: readonly PortBinding[], wanted: string): readonly PortBinding[] {
  const match = /^([0-9]{1,5})(?:\/(tcp|udp))?$/.exec(wanted);
  if (match === null) throw usageError("port", `"${wanted}" is not a port like 80 or 53/udp`);
  const found = ports.filter(
    ({ vmPort, protocol }) => vmPort === Number(match[1]) && protocol === (match[2] ?? "tcp"),
  );
  if (found.length > 0) return found;
  throw new KilnError(Code.NotFound, `port ${wanted} of VM ${name} is not published`, {
    reason: "port-not-published",
    hint: `publish it: kiln port add ${name} ${wanted}`,
  });
}

// `kiln events`: what happens, as it happens.

import { visibleJson } from "../../base/visible.js";
import type { KilnEvent } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { list, text } from "../flags.js";
import { parseFormat } from "../render/rows.js";
import { safeLine } from "../render/safe-text.js";
import { compileTemplate } from "../render/template.js";
import { usageError } from "../usage-error.js";
import { parseWhen } from "../when.js";

export const command = defineCommand({
  description: `
Prints what happens to VMs, images, kernels, volumes and networks, one event a line, until Ctrl-C or --until. With --since or --after what
happened before comes first.

Of volumes these are create, mount and unmount (with the VM and the path), grow and destroy; of a VM's mounts volume-attach, volume-detach and
share, which says when a shared directory is away and when it is back. Of networks they are create, connect, disconnect and destroy.

Filters: type=vm|image|kernel|volume|network, event=ACTION, vm=NAME, image=NAME, volume=NAME, network=NAME, label=NAME[=VALUE].
Fields for --format: .cursor .time .type .action .id .attributes.
`,
  operands: [],
  flags: {
    after: text("CURSOR", "Go on after the event with this cursor, without a gap"),
    filter: list("KEY=VALUE", "Only those that match all of these", { short: "f" }),
    format: text("FORMAT", "json, or a template like '{{.action}} {{.id}}'"),
    since: text("TIME", "Also those since then: 10m, 2026-01-02T03:04:05Z"),
    until: text("TIME", "End there"),
  },
  examples: [
    { does: "watch VMs end", line: "kiln events -f type=vm -f event=die" },
    { does: "who mounts a volume", line: "kiln events -f volume=data -f event=mount" },
    { does: "for programs", line: "kiln events --since 1h --format json" },
  ],
  async run(context, { flags }) {
    const now = context.now();
    const print = printerOf(flags.format);
    const kiln = await context.connect();
    const events = kiln.events({
      after: flags.after === undefined ? undefined : parseCursor(flags.after),
      filter: flags.filter,
      since: flags.since === undefined ? undefined : parseWhen(flags.since, "--since", now),
      until: flags.until === undefined ? undefined : parseWhen(flags.until, "--until", now),
    });
    for await (const event of events) await printLine(context, print(event));
    return 0;
  },
});

function parseCursor(text: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text);
  throw usageError("events", `--after takes an event's cursor, not "${text}"`);
}

function printerOf(format: string | undefined): (event: KilnEvent) => string {
  const form = parseFormat(format);
  if (form.kind === "json") return (event) => visibleJson(event);
  if (form.kind === "template" || form.kind === "table-template") return compileTemplate(form.template);
  return (event) => {
    const attributes = Object.entries(event.attributes).map(([name, value]) => `${name}=${value}`);
    const shown = attributes.length > 0 ? ` (${attributes.join(", ")})` : "";
    return safeLine(`${event.time.toISOString()} ${event.type} ${event.action} ${event.id}${shown}`);
  };
}

// `kiln logs`: what a VM's program wrote.

import type { LogChunk, Vm } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import type { Context } from "../context.js";
import { execFinder } from "../exec-flag.js";
import { bool, text } from "../flags.js";
import { LineSplitter } from "../line-splitter.js";
import { usageError } from "../usage-error.js";
import { parseWhen } from "../when.js";

export const command = defineCommand({
  description: `
Shows what the program of a VM wrote, stdout on stdout and stderr on stderr, also of a VM that has ended. With --console
what its kernel wrote instead. In system mode there is one output, the console: that of the image's own init and of the
kernel, without times. With --exec what a program wrote that \`kiln exec -d\` has started, over all its runs.

Times: 10m (ago), 2026-01-02T03:04:05Z, or seconds since 1970.
`,
  operands: [{ name: "VM", complete: "vm" }],
  flags: {
    console: bool("The kernel's console instead"),
    exec: text("ID", "The output of a program of `kiln exec -d` instead", { complete: "exec" }),
    follow: bool("Go on until it ends", { short: "f" }),
    since: text("TIME", "Only what came after"),
    tail: text("N", "Only the last N lines; all for everything", { short: "n", fallback: "all" }),
    timestamps: bool("Begin each line with its time", { short: "t" }),
    until: text("TIME", "Only what came before"),
  },
  examples: [
    { does: "the last lines, and what follows", line: "kiln logs -f --tail 20 web" },
    { does: "the last ten minutes, with times", line: "kiln logs -t --since 10m web" },
    { does: "what a job of its own wrote", line: "kiln logs -f --exec 4f2a web" },
    { does: "why it did not boot", line: "kiln logs --console web" },
  ],
  async run(context, { flags, operands }) {
    const now = context.now();
    const { exec, console } = flags;
    if (exec !== undefined && console) throw usageError("logs", "--exec and --console exclude each other");
    const options = {
      follow: flags.follow,
      tail: flags.tail === undefined || flags.tail === "all" ? undefined : parseLines(flags.tail),
      since: flags.since === undefined ? undefined : parseWhen(flags.since, "--since", now),
      until: flags.until === undefined ? undefined : parseWhen(flags.until, "--until", now),
    };
    const kiln = await context.connect();
    const chunks =
      exec === undefined
        ? kiln.vms.ref(operands[0] ?? "").logs({ ...options, console })
        : (await execFinder(kiln, "logs", operands, [exec])(exec)).logs(options);
    const asked = (["since", "until", "timestamps"] as const).filter((flag) => Boolean(flags[flag]));
    const told = tellOfTimes(context, chunks, asked);
    await (flags.timestamps ? printStamped(context, told) : printPlain(context, told));
    return 0;
  },
});

type Chunks = ReturnType<Vm["logs"]>;

/** Says once that flags about times do not count, where the output turns out to have none. */
async function* tellOfTimes(context: Context, chunks: Chunks, asked: readonly string[]): Chunks {
  let told = asked.length === 0;
  for await (const chunk of chunks) {
    if (!told && !hasTime(chunk)) {
      await context.note(`kiln: a console has no times: --${asked.join(", --")} does not count`);
      told = true;
    }
    yield chunk;
  }
}

function hasTime({ time }: Pick<LogChunk, "time">): boolean {
  return time.getTime() !== 0;
}

function parseLines(text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw usageError("logs", `--tail takes a number of lines or all, not "${text}"`);
}

async function printPlain(context: Context, chunks: Chunks): Promise<void> {
  for await (const { fd, data } of chunks) await sinkOf(context, fd).write(data);
}

async function printStamped(context: Context, chunks: Chunks): Promise<void> {
  const splitters = { 1: new LineSplitter<Date>(), 2: new LineSplitter<Date>() };
  const print = async (fd: 1 | 2, lines: readonly { tag: Date; data: Buffer }[]) => {
    for (const { tag, data } of lines) {
      const stamp = hasTime({ time: tag }) ? `${tag.toISOString()} ` : "";
      await sinkOf(context, fd).write(Buffer.concat([Buffer.from(stamp), data]));
    }
  };
  for await (const { fd, data, time } of chunks) await print(fd, splitters[fd].push(data, time));
  for (const fd of [1, 2] as const) await print(fd, splitters[fd].finish());
}

function sinkOf(context: Context, fd: LogChunk["fd"]) {
  return fd === 1 ? context.stdout : context.stderr;
}

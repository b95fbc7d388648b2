// `kiln cp`: files to, from and between VMs.

import { Code, KilnError } from "../../base/errors.js";
import type { ArchiveResult, CopyOptions, Kiln } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import type { Context } from "../context.js";
import { type CopySide, parseCopySide } from "../cp-paths.js";
import { bool } from "../flags.js";
import { safeLine } from "../render/safe-text.js";
import { usageError } from "../usage-error.js";

export const command = defineCommand({
  description: `
Copies a file or directory between this machine and a VM, or between two VMs. As with docker cp: into an existing
directory a source keeps its name, otherwise the copy is named as the target; SOURCE/. means the contents of a
directory, VM:/ those of the whole root. Directories merge and files are replaced, but no file ever takes the place of a
directory, nor a directory that of a file. - as a source reads a tar stream from stdin and unpacks it in the directory;
as a target it writes one to stdout.

Links are copied as links; -L follows SOURCE itself. Copies out belong to you and lose set-user-id bits, and nothing is
ever written outside the target, whatever the guest sends; with -a owners and bits stay.

What is copied into a VM that does not run, a new one say, waits for its next start and is in place before its program
begins: create, cp, start. If it can't be put where it should go, that start fails and says why, and the copy is dropped.
From a VM that does not run nothing can be copied.
`,
  operands: [
    { name: "SOURCE", complete: "file" },
    { name: "TARGET", complete: "file" },
  ],
  flags: {
    archive: bool("Keep numeric owners and set-user-id bits", { short: "a" }),
    "follow-link": bool("Follow SOURCE where it is a link", { short: "L" }),
    quiet: bool("Do not say what was left out, or waits", { short: "q" }),
  },
  examples: [
    { does: "a file in", line: "kiln cp nginx.conf web:/etc/nginx/nginx.conf" },
    { does: "a directory's contents in", line: "kiln cp ./site/. web:/usr/share/nginx/html" },
    { does: "logs out", line: "kiln cp web:/var/log/nginx ./logs" },
    { does: "through a pipe", line: "kiln cp db:/var/lib/postgresql - | zstd > backup.tar.zst" },
    { does: "from VM to VM", line: "kiln cp web:/srv/data copy:/srv" },
    {
      does: "before the first start",
      line: "kiln create --name web nginx; kiln cp site web:/srv; kiln start web",
    },
  ],
  async run(context, { flags, operands: [from = "", to = ""] }) {
    const [source, target] = [parseCopySide(from), parseCopySide(to)];
    const options: CopyOptions = {
      keepOwner: flags.archive,
      followLink: flags["follow-link"],
      onSkip: (path, why) => {
        if (!flags.quiet) void context.note(`kiln: left out ${safeLine(path)}: ${why}`);
      },
    };
    const kiln = await context.connect();
    const copied = await copy(context, kiln, source, target, options);
    if (copied?.pending === true && target.kind === "vm" && !flags.quiet) {
      await context.note(`kiln: VM ${safeLine(target.vm)} does not run: the copy is made at its next start`);
    }
    return 0;
  },
});

async function copy(
  context: Context,
  kiln: Kiln,
  source: CopySide,
  target: CopySide,
  options: CopyOptions,
): Promise<ArchiveResult | undefined> {
  if (source.kind === "vm") {
    if (target.kind !== "vm") {
      await outOfVm(context, kiln, source, target, options);
      return undefined;
    }
    const into = kiln.vms.ref(target.vm).fs;
    return kiln.vms.ref(source.vm).fs.copyTo(source.path, into, target.path, options);
  }
  if (target.kind === "vm") return intoVm(context, kiln, source, target, options);
  throw usageError("cp", "neither side is in a VM", "write VM:PATH for the side that is");
}

type VmSide = Extract<CopySide, { kind: "vm" }>;
type LocalSide = Exclude<CopySide, { kind: "vm" }>;

async function intoVm(
  context: Context,
  kiln: Kiln,
  source: LocalSide,
  target: VmSide,
  options: CopyOptions,
): Promise<ArchiveResult> {
  const { fs } = kiln.vms.ref(target.vm);
  if (source.kind === "local") return fs.copyIn(source.path, target.path, options);
  return fs.writeArchive(target.path, notNothing(context.stdin as AsyncIterable<Uint8Array>), options);
}

/** A pipe whose other end has failed looks like one that has nothing to say. */
async function* notNothing(stdin: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let some = false;
  for await (const chunk of stdin) {
    some ||= chunk.byteLength > 0;
    yield chunk;
  }
  if (some) return;
  throw new KilnError(Code.InvalidArgument, "cp: stdin is empty: no tar stream came", {
    reason: "empty-archive",
    hint: "look at the command before the pipe; an archive of nothing has 1024 bytes",
  });
}

async function outOfVm(
  context: Context,
  kiln: Kiln,
  source: VmSide,
  target: LocalSide,
  options: CopyOptions,
): Promise<void> {
  const { fs } = kiln.vms.ref(source.vm);
  if (target.kind === "local") {
    await fs.copyOut(source.path, target.path, options);
    return;
  }
  if (context.stdout.isTTY)
    throw usageError("cp", "a tar stream does not belong on a terminal", "pipe it somewhere");
  const { followLink } = await fs.source(source.path, options);
  for await (const chunk of fs.readArchive(source.path, { ...options, followLink })) {
    await context.stdout.write(chunk);
  }
}

// `kiln kernel build`.

import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool, text } from "../flags.js";
import { interruptible } from "../interrupt.js";
import { parseCount } from "../parse-count.js";
import { openProgress, progressFlag } from "../render/progress.js";

export const command = defineCommand({
  description: `
Builds kiln's own guest kernel from Debian's sources and configuration fragments that come with kiln, imports it and prints
its id. It has all that guests need built in, boots faster than Debian's kernel, and becomes the default unless another was
set. What was built before, of the same version, configuration and compiler, is not built again.

A build takes about a quarter of an hour on two cores, 2.5 GB of disk while it runs, and compilers: where they are missing,
the error names the packages. It runs without privileges and without a network, and ends when this command does. The result
is also an image in Weave Ignite's form, localhost/kiln-kernel:VERSION-ARCH; for another architecture it is only that, and
its name is printed.
`,
  operands: [],
  flags: {
    arch: text("ARCH", "Architecture", { choices: ["amd64", "arm64"], fallback: "this machine's" }),
    default: bool("Make it the default, whatever was set before"),
    jobs: text("N", "Compilers that run at once", { short: "j", fallback: "one per CPU" }),
    name: text("NAME", "Name for it", { fallback: "its release" }),
    "no-cache": bool("Build again what was built before"),
    progress: progressFlag,
    quiet: bool("Show no progress", { short: "q" }),
    version: text("VERSION", "Of Debian's sources: 6.1, 6.1.192, 6.1.192-2", { fallback: "the current one" }),
  },
  examples: [
    { does: "the kernel for this machine", line: "kiln kernel build" },
    { does: "one for arm64, as an image", line: "kiln kernel build --arch arm64" },
    { does: "see which kernel is the default, and why", line: "kiln kernel ls" },
  ],
  async run(context, { flags }) {
    const progress = openProgress(context, flags.progress, flags.quiet);
    try {
      const { kernel, imageName } = await interruptible(
        "kernel build",
        "no kernel was made",
        async (signal) => {
          const kiln = await context.connect();
          return await kiln.kernels.build({
            version: flags.version,
            architecture: flags.arch as "amd64" | "arm64" | undefined,
            cache: !flags["no-cache"],
            jobs: flags.jobs === undefined ? undefined : parseCount("kernel build", "--jobs", flags.jobs),
            name: flags.name,
            makeDefault: flags.default,
            onProgress: (step) => progress.update(step),
            signal,
          });
        },
      );
      await progress.close();
      await printLine(context, kernel?.id ?? imageName);
      return 0;
    } finally {
      await progress.close();
    }
  },
});

// `kiln kernel import`.

import { resolve } from "node:path";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool, text } from "../flags.js";
import { absoluteKernel } from "../image-source.js";
import { interruptible } from "../interrupt.js";
import { openProgress, progressFlag } from "../render/progress.js";

export const command = defineCommand({
  description: `
Brings a kernel into the store and prints its id. SOURCE is a vmlinux or bzImage file, a .deb, debian (the packaged cloud
kernel, fetched through apt), or an OCI image that holds /boot/vmlinux and /lib/modules, as Weave Ignite's do.
`,
  operands: [{ name: "SOURCE", complete: "file" }],
  flags: {
    default: bool("Make it the default"),
    modules: text("DIR", "Modules of a plain kernel: the directory that holds kernel/", { complete: "file" }),
    name: text("NAME", "Name for it", { fallback: "from the source" }),
    progress: progressFlag,
    quiet: bool("Show no progress", { short: "q" }),
  },
  examples: [
    { does: "Debian's cloud kernel", line: "kiln kernel import debian" },
    {
      does: "your own, as the default",
      line: "kiln kernel import --default --name mine ./arch/x86/boot/bzImage",
    },
    { does: "an Ignite kernel image", line: "kiln kernel import weaveworks/ignite-kernel:5.10.51" },
  ],
  async run(context, { flags, operands: [source = ""] }) {
    const progress = openProgress(context, flags.progress, flags.quiet);
    try {
      const kernel = await interruptible("kernel import", "no kernel was made", async (signal) => {
        const kiln = await context.connect();
        return await kiln.kernels.import(absoluteKernel(source, context.cwd), {
          name: flags.name,
          makeDefault: flags.default,
          modulesDirectory: flags.modules === undefined ? undefined : resolve(context.cwd, flags.modules),
          onProgress: (step) => progress.update(step),
          signal,
        });
      });
      await progress.close();
      await printLine(context, kernel.id);
      return 0;
    } finally {
      await progress.close();
    }
  },
});

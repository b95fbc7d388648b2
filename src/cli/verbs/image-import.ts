// `kiln image import`: a root file system as an image.

import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { list, text } from "../flags.js";
import { bytesOf } from "../large-files.js";

export const command = defineCommand({
  description: `
Makes an image of a root file system: a tar, plain or compressed with gzip or zstd; - reads it from stdin. Prints the
image's id. --change takes the lines of a Dockerfile that say how it runs: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR.
`,
  operands: [
    { name: "FILE", complete: "file" },
    { name: "NAME", complete: "image" },
  ],
  flags: {
    change: list("LINE", "A Dockerfile line", { short: "c" }),
    message: text("TEXT", "Comment in the image's history", { short: "m" }),
    platform: text("OS/ARCH[/VARIANT]", "Platform", { fallback: "the host's" }),
  },
  examples: [
    {
      does: "Debian, made by mmdebstrap",
      line: "mmdebstrap bookworm - | kiln image import -c 'CMD [\"bash\"]' - debian:bookworm",
    },
    { does: "from a file", line: "kiln image import rootfs.tar.gz mine:1" },
  ],
  async run(context, { flags, operands: [file = "", name = ""] }) {
    const kiln = await context.connect();
    const image = await kiln.images.import(bytesOf(context, file), name, {
      changes: flags.change,
      message: flags.message,
      platform: flags.platform,
    });
    await printLine(context, image.id);
    return 0;
  },
});

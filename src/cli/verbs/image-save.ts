// `kiln image save`: images as a tar.

import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { KilnError } from "../../base/errors.js";
import { tempNameFor } from "../../base/files.js";
import { defineCommand } from "../command.js";
import type { Context } from "../context.js";
import { text } from "../flags.js";
import { usageError } from "../usage-error.js";

export const command = defineCommand({
  description: `
Writes images to one tar, which \`kiln pull oci-archive:FILE\`, skopeo, podman and docker read. An image that is named keeps
that name; one that is given by its id keeps all it has. The same images give the same bytes. A file appears whole or not
at all.
`,
  operands: [{ name: "IMAGE...", complete: "image" }],
  flags: { output: text("FILE", "Where to", { short: "o", fallback: "stdout", complete: "file" }) },
  examples: [
    { does: "to a file", line: "kiln image save -o mine.tar mine:1" },
    {
      does: "to another machine",
      line: "kiln image save mine:1 | ssh host 'cat > mine.tar && kiln pull oci-archive:mine.tar'",
    },
    {
      does: "to a registry, with skopeo",
      line: "kiln image save -o k.tar localhost/kiln-kernel:6.1.192-amd64 && skopeo copy oci-archive:k.tar docker://registry.example/kiln-kernel:6.1.192",
    },
  ],
  async run(context, { flags, operands }) {
    const { output } = flags;
    if (output === undefined && context.stdout.isTTY)
      throw usageError("image save", "a tar does not belong on a terminal", "name a file with -o");
    const kiln = await context.connect();
    const tar = kiln.images.save(operands);
    if (output === undefined) for await (const chunk of tar) await context.stdout.write(chunk);
    else await toFile(context, tar, output);
    return 0;
  },
});

async function toFile(context: Context, tar: AsyncIterable<Uint8Array>, output: string): Promise<void> {
  const path = resolve(context.cwd, output);
  const half = tempNameFor(path);
  try {
    // Open before anything can fail: a stream that opens by itself may do so after its file was removed.
    const file = await open(half, "wx");
    await pipeline(tar, file.createWriteStream());
    await rename(half, path);
  } catch (error) {
    await rm(half, { force: true });
    throw error instanceof KilnError ? error : KilnError.from(error, `write ${output}`);
  }
}

// `kiln image save`: images as a tar.

import type { Kiln } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { bool, text } from "../flags.js";
import { toFile } from "../large-files.js";
import { openProgress, type ProgressView, progressFlag } from "../render/progress.js";
import { usageError } from "../usage-error.js";

export const command = defineCommand({
  description: `
Writes images to one tar, which \`kiln pull oci-archive:FILE\`, skopeo, podman and docker read. An image that is named keeps
that name; one that is given by its id keeps all it has. The same images give the same bytes. A file appears whole or not
at all.
`,
  operands: [{ name: "IMAGE...", complete: "image" }],
  flags: {
    output: text("FILE", "Where to", { short: "o", fallback: "stdout", complete: "file" }),
    progress: progressFlag,
    quiet: bool("Show no progress", { short: "q" }),
  },
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
    const progress = openProgress(context, flags.progress, flags.quiet);
    try {
      const tar = counted(kiln, operands, progress);
      if (output === undefined) for await (const chunk of tar) await context.stdout.write(chunk);
      else await toFile(context, tar, output);
      return 0;
    } finally {
      await progress.close();
    }
  },
});

/** Tells how much of the tar has come. Nothing is told before its first bytes: that there is no such image, say. */
async function* counted(
  kiln: Kiln,
  images: readonly string[],
  progress: ProgressView,
): AsyncGenerator<Uint8Array, void> {
  const step = {
    id: images.length === 1 ? (images[0] ?? "") : `${images.length} images`,
    message: "",
    unit: "",
  };
  const total = await blobBytes(kiln, images);
  let current = 0;
  for await (const chunk of kiln.images.save(images)) {
    current += chunk.byteLength;
    progress.update({ ...step, status: "saving", current, total });
    yield chunk;
  }
  progress.update({ ...step, status: "done", current, total: current });
}

/** Of the blobs that the images' manifests name, each once: nearly all of the tar. 0: not known. */
async function blobBytes(kiln: Kiln, images: readonly string[]): Promise<number> {
  const blobs = new Map<string, number>();
  try {
    for (const image of new Set(images)) {
      const { manifestJson } = await kiln.images.get(image);
      for (const { digest, size } of (JSON.parse(manifestJson) as Manifest).layers ?? [])
        blobs.set(digest, size);
    }
  } catch {
    return 0; // whatever it is, the save itself says it
  }
  const bytes = [...blobs.values()].reduce((sum, size) => sum + size, 0);
  return Number.isSafeInteger(bytes) ? bytes : 0;
}

interface Manifest {
  readonly layers?: readonly { readonly digest: string; readonly size: number }[];
}

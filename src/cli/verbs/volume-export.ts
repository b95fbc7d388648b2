// `kiln volume export`.

import { defineCommand } from "../command.js";
import { text } from "../flags.js";
import { toFile } from "../large-files.js";
import { usageError } from "../usage-error.js";

export const command = defineCommand({
  description: `
Writes what is in a volume as a tar, with owners, modes, links and times. Of one that a running VM has among its mounts it is what that VM sees now;
else a small VM of kiln's own reads it, so that its journal is played by a guest's kernel. A file appears whole or not at all.
`,
  operands: [{ name: "VOLUME", complete: "volume" }],
  flags: { output: text("FILE", "Where to", { short: "o", fallback: "stdout", complete: "file" }) },
  examples: [
    { does: "to a file", line: "kiln volume export -o data.tar data" },
    { does: "into another volume", line: "kiln volume export data | kiln volume import copy -" },
  ],
  async run(context, { flags: { output }, operands: [name = ""] }) {
    if (output === undefined && context.stdout.isTTY)
      throw usageError("volume export", "a tar does not belong on a terminal", "name a file with -o");
    const kiln = await context.connect();
    const tar = kiln.volumes.export(name);
    if (output === undefined) for await (const chunk of tar) await context.stdout.write(chunk);
    else await toFile(context, tar, output);
    return 0;
  },
});

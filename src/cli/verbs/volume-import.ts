// `kiln volume import`.

import { resolve } from "node:path";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bytesOf } from "../large-files.js";

export const command = defineCommand({
  description: `
Lays a tar over what a volume holds, and prints the volume's name: directories merge, files are replaced, owners are those of the tar. It may be
compressed with gzip or zstd, and is told by its first bytes; of another one, as xz, pipe in what its own program gives. - reads it from stdin. A running VM that has the volume writable unpacks it, else a small VM of kiln's own. The volume must be there.
`,
  operands: [
    { name: "VOLUME", complete: "volume" },
    { name: "FILE", complete: "file" },
  ],
  flags: {},
  examples: [
    { does: "from a file", line: "kiln volume import data data.tar.gz" },
    { does: "of another compression", line: "xz -dc data.tar.xz | kiln volume import data -" },
  ],
  async run(context, { operands: [name = "", file = ""] }) {
    const source = bytesOf(context, file === "-" ? file : resolve(context.cwd, file));
    const kiln = await context.connect();
    const volume = await kiln.volumes.import(source, name);
    await printLine(context, volume.name);
    return 0;
  },
});

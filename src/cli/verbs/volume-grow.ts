// `kiln volume grow`.

import { parseSize } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";

export const command = defineCommand({
  description: `
Makes a volume larger, and prints its name. SIZE is what it is to have in all. A running VM that has it writable sees the
new size at once and goes on meanwhile. Where none has, the disk grows now and its file system at the next start of a VM that
may write to it. Volumes can't be made smaller.
`,
  operands: [{ name: "VOLUME", complete: "volume" }, { name: "SIZE" }],
  flags: {},
  examples: [{ does: "to 200 GiB", line: "kiln volume grow data 200g" }],
  async run(context, { operands: [name = "", size = ""] }) {
    const bytes = parseSize(size);
    const kiln = await context.connect();
    const volume = await kiln.volumes.grow(name, bytes);
    await printLine(context, volume.name);
    if (volume.filesystemBytes < volume.sizeBytes) {
      await context.note(`kiln: its file system grows at the next mount that may write`);
    }
    return 0;
  },
});

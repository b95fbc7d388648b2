// `kiln volume inspect`: everything, as JSON.

import { defineCommand } from "../command.js";
import { text } from "../flags.js";
import { dockerVolume } from "../render/docker-view.js";
import { printObjects } from "../render/objects.js";
import { ALSO } from "../render/template-values.js";

export const command = defineCommand({
  description: `
Shows all that is known of volumes, as a JSON array, or of each what a template asks for; the fields' names are those of
the API, and templates also take those of \`docker volume inspect\`. Where .filesystemBytes is less than .sizeBytes the disk was grown while no VM
had it: the file system follows at the next mount that may write.
`,
  operands: [{ name: "VOLUME...", complete: "volume" }],
  flags: {
    format: text("FORMAT", "json, or a template like '{{.sizeBytes}}'", { short: "f", fallback: "json" }),
  },
  examples: [
    { does: "everything", line: "kiln volume inspect data" },
    { does: "who has it, and who writes", line: "kiln volume inspect -f '{{.vms}} {{.writer}}' data" },
  ],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    const found: unknown[] = [];
    let code = 0;
    for (const name of operands) {
      try {
        const volume = await kiln.volumes.get(name);
        found.push({ ...volume, [ALSO]: dockerVolume(volume) });
      } catch (error) {
        code = 1;
        await context.report(error);
      }
    }
    await printObjects(context, flags.format, found);
    return code;
  },
});

// `kiln rmi`: names off images, and images without names away.

import { defineCommand } from "../command.js";
import { forEachTarget } from "../context.js";
import { bool } from "../flags.js";

export const command = defineCommand({
  description: `
Takes names off images, and removes an image with its last name. An image that VMs use is refused; with -f it loses its
names and goes when the last of them does.
`,
  operands: [{ name: "IMAGE...", complete: "image" }],
  flags: { force: bool("Also where VMs use it", { short: "f" }) },
  examples: [{ does: "remove one", line: "kiln rmi nginx:1.27" }],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    return forEachTarget(
      context,
      operands,
      async (image) => {
        const { untagged, deleted } = await kiln.images.remove(image, { force: flags.force });
        const lines = [
          ...untagged.map((name) => `Untagged: ${name}`),
          ...deleted.map((id) => `Deleted: ${id}`),
        ];
        return lines.length === 0 ? undefined : lines.join("\n");
      },
      flags.force ? "image-not-found" : undefined,
    );
  },
});

// `kiln image tag`: another name.

import { defineCommand } from "../command.js";

export const command = defineCommand({
  description: "\nGives an image another name. A name that another image had moves to this one.\n",
  operands: [
    { name: "IMAGE", complete: "image" },
    { name: "NAME", complete: "image" },
  ],
  flags: {},
  examples: [{ does: "pin what is running now", line: "kiln image tag nginx:latest nginx:good" }],
  async run(context, { operands: [image = "", name = ""] }) {
    const kiln = await context.connect();
    await kiln.images.tag(image, name);
    return 0;
  },
});

// `kiln network inspect`: everything, as JSON.

import { defineCommand } from "../command.js";
import { text } from "../flags.js";
import { dockerNetwork } from "../render/docker-networks.js";
import { printObjects } from "../render/objects.js";
import { ALSO } from "../render/template-values.js";

export const command = defineCommand({
  description: `
Shows all that is known of networks, as a JSON array, or of each what a template asks for: who is on them, with which addresses,
running or not. The fields' names are those of the API, and templates also take those of \`docker network inspect\`.
`,
  operands: [{ name: "NETWORK...", complete: "network" }],
  flags: {
    format: text("FORMAT", "json, or a template like '{{.subnet}}'", { short: "f", fallback: "json" }),
  },
  examples: [
    { does: "everything", line: "kiln network inspect web" },
    {
      does: "who is on it",
      line: "kiln network inspect -f '{{range .members}}{{.vm}} {{.ip}}{{\"\\n\"}}{{end}}' web",
    },
  ],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    const found: unknown[] = [];
    let code = 0;
    for (const name of operands) {
      try {
        const network = await kiln.networks.get(name);
        found.push({ ...network, [ALSO]: dockerNetwork(network) });
      } catch (error) {
        code = 1;
        await context.report(error);
      }
    }
    await printObjects(context, flags.format, found);
    return code;
  },
});

// `kiln volume attach`.

import { parseVolumeFlag } from "../../base/volume-flag.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";

export const command = defineCommand({
  description: `
Mounts a volume on a VM, and prints the path. VOLUME is as for \`kiln run -v\`: NAME:/path, or NAME:/path:ro. One that is not
there is made. A VM that runs has it at once; a VM that does not, at its next start. It stays over restarts, until
\`kiln volume detach\`.
`,
  operands: [
    { name: "VM", complete: "vm" },
    { name: "VOLUME", complete: "volume-mount" },
  ],
  flags: {},
  examples: [
    { does: "a volume to write to", line: "kiln volume attach web data:/data" },
    { does: "one to read", line: "kiln volume attach web assets:/srv/assets:ro" },
  ],
  async run(context, { operands: [vm = "", text = ""] }) {
    const mount = parseVolumeFlag(text, { cwd: context.cwd, home: context.env.HOME });
    const kiln = await context.connect();
    const { mount: made } = await kiln.volumes.attach(vm, mount);
    await printLine(context, made.target);
    return 0;
  },
});

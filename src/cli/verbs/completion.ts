// `kiln completion`: a script for a shell.

import { defineCommand } from "../command.js";
import { completionScript, SHELLS, type Shell } from "../completion-scripts.js";

export const command = defineCommand({
  description: `
Prints a shell's completion script. Names of VMs, images, volumes and the like come from kilnd while you type, if one runs.
`,
  operands: [{ name: "SHELL", choices: SHELLS }],
  flags: {},
  examples: [
    { does: "bash, for this session", line: "source <(kiln completion bash)" },
    {
      does: "bash, for good",
      line: "kiln completion bash > ~/.local/share/bash-completion/completions/kiln",
    },
    { does: "zsh, in a directory of $fpath", line: "kiln completion zsh > ~/.zfunc/_kiln" },
    { does: "fish", line: "kiln completion fish > ~/.config/fish/completions/kiln.fish" },
    { does: "PowerShell", line: "kiln completion powershell | Out-String | Invoke-Expression" },
  ],
  async run(context, { operands: [shell = ""] }) {
    await context.stdout.write(completionScript(shell as Shell));
    return 0;
  },
});

// docs/reference/kilnd.md, as text, from the table of settings that the daemon itself works by. Needs dist/.

import { ROOT } from "./paths.mjs";

/** Relative to the checkout. */
export const KILND_PAGE = "docs/reference/kilnd.md";

export async function kilndPage() {
  const { SETTINGS, flagOf, variableOf } = await import(`${ROOT}/dist/src/daemon/settings-table.js`);
  const rows = SETTINGS.map(({ name, help, byDefault }) =>
    row([`\`${flagOf(name)}\``, `\`${variableOf(name)}\``, `${help} [default: ${byDefault}]`]),
  );
  return [
    "<!-- Generated from the table of settings by `npm run docs`. Do not edit. -->",
    "# kilnd",
    "",
    "The daemon. `kiln` starts it when it is needed; systemd may do so instead (`packaging/`). A flag beats the environment,",
    "the environment beats `config.toml`, that beats the default; `kiln info` says which one won. A setting `disk.reserve` is",
    "the key `reserve` of `[disk]` in `config.toml`.",
    "",
    row(["flag", "environment", "what it sets"]),
    "|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function row(cells) {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

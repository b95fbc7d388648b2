// Flags that go before any verb.

import type { FlagTable } from "./flags.js";

/** They end at the verb. */
export const GLOBAL_FLAGS = {
  host: {
    kind: "string",
    short: "H",
    value: "unix://PATH",
    help: "Socket of the kilnd to talk to",
    fallback: "$KILN_HOST, else this user's, started when needed",
  },
  debug: { kind: "boolean", fallback: false, help: "Show code, reason and stack of an error" },
  version: { kind: "boolean", short: "v", fallback: false, help: "Print the version" },
  help: { kind: "boolean", short: "h", fallback: false, help: "Print this" },
} as const satisfies FlagTable;

// Firecracker's command line, as strict as the real one. What follows `--` is ignored.

export interface StandinArguments {
  readonly flags: ReadonlySet<string>;
  readonly values: ReadonlyMap<string, string>;
}

/** Thrown where the real one exits with 153 ("words"), 152 ("level"), or panics. */
export class ArgumentError extends Error {
  constructor(
    message: string,
    readonly kind: "words" | "level" | "panic" = "words",
  ) {
    super(message);
  }
}

const WITH_VALUE = [
  "api-sock",
  "id",
  "seccomp-filter",
  "start-time-us",
  "start-time-cpu-us",
  "parent-cpu-time-us",
  "config-file",
  "metadata",
  "log-path",
  "level",
  "module",
  "metrics-path",
  "describe-snapshot",
  "http-api-max-payload-size",
  "mmds-size-limit",
];
const FLAGS = [
  "no-seccomp",
  "no-api",
  "show-level",
  "show-log-origin",
  "boot-timer",
  "version",
  "help",
  "snapshot-version",
  "enable-pci",
];

export function parseArguments(argv: readonly string[]): StandinArguments {
  const flags = new Set<string>();
  const values = new Map<string, string>();
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    if (word === "--") break;
    const name = word.replace(/^--/, "");
    if (!word.startsWith("--")) throw new ArgumentError(`Found argument '${word}' which wasn't expected`);
    if (flags.has(name) || values.has(name))
      throw new ArgumentError(`The argument '${name}' was provided twice`);
    if (FLAGS.includes(name)) flags.add(name);
    else if (WITH_VALUE.includes(name)) values.set(name, valueAfter(argv, ++index, name));
    else throw new ArgumentError(`Found argument '${name}' which wasn't expected`);
  }
  check(flags, values);
  return { flags, values };
}

function valueAfter(argv: readonly string[], index: number, name: string): string {
  const value = argv[index];
  if (value === undefined)
    throw new ArgumentError(`The argument '${name}' requires a value, but none was supplied`);
  return value;
}

function check(flags: ReadonlySet<string>, values: ReadonlyMap<string, string>): void {
  if (flags.has("no-api") && !values.has("config-file")) {
    throw new ArgumentError("Argument 'config-file' required, but not found");
  }
  if (flags.has("no-seccomp") && values.has("seccomp-filter")) {
    throw new ArgumentError("Argument 'no-seccomp' cannot be used together with argument 'seccomp-filter'");
  }
  const id = values.get("id") ?? "anonymous-instance";
  if (!/^[A-Za-z0-9-]{1,64}$/.test(id)) throw new ArgumentError(`Invalid instance ID: ${id}`, "panic");
  const level = values.get("level");
  if (level !== undefined && !/^(off|trace|debug|info|warn(ing)?|error)$/i.test(level)) {
    throw new ArgumentError(`Invalid logging level: ${level}`, "level");
  }
}

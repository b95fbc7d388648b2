// What a container runs: its command, variables and directory, of what was asked and what the image says.

import { isUtf8 } from "node:buffer";
import { Code, KilnError } from "../../../base/errors.js";
import type { ImageRunConfig } from "../../../image/types.js";
import type { ContainerSpec, ContainerVariable } from "../containers/spec.js";

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Kubernetes' rule: a command replaces entrypoint and command of the image, arguments alone the image's command. */
export function planArguments(
  spec: Pick<ContainerSpec, "command" | "args">,
  image: Pick<ImageRunConfig, "entrypoint" | "cmd">,
): string[] {
  const entrypoint = spec.command.length > 0 ? spec.command : image.entrypoint;
  const given = spec.args.length > 0 || spec.command.length > 0;
  const words = [...entrypoint, ...(given ? spec.args : image.cmd)];
  if (words.some(isCut)) throw unusable("command");
  if (words.length > 0) return words;
  throw new KilnError(Code.InvalidArgument, "the container names no command, and its image none", {
    reason: "no-command",
    hint: "give the container a command",
  });
}

export interface Environment {
  /** "NAME=value" */
  readonly text: string[];
  /** Those that are no UTF-8: config.json can't hold them, so the agent hands them over. */
  readonly bytes: Uint8Array[];
}

/** What was asked wins over the image, the last of a name over those before. A name stands where it stood first. */
export function planEnvironment(
  { env, tty }: Pick<ContainerSpec, "env" | "tty">,
  image: Pick<ImageRunConfig, "env">,
  hostname: string,
): Environment {
  const byName = new Map<string, Uint8Array>();
  const set = (entry: string) => byName.set(entry.split("=", 1)[0] ?? "", Buffer.from(entry));
  set(DEFAULT_PATH);
  set(`HOSTNAME=${hostname}`);
  if (tty) set("TERM=xterm");
  for (const entry of image.env) set(entry);
  for (const variable of env) byName.set(variable.name, entryOf(variable));
  const all = [...byName.values()];
  return {
    text: all.filter((entry) => isUtf8(entry)).map((entry) => Buffer.from(entry).toString("utf8")),
    bytes: all.filter((entry) => !isUtf8(entry)),
  };
}

function entryOf({ name, value }: ContainerVariable): Uint8Array {
  if (name === "" || /[=\0]/.test(name) || value.includes(0)) {
    throw new KilnError(Code.InvalidArgument, `the container's variable "${name}" can't be one`, {
      reason: "bad-variable",
      hint: "a name is not empty and has no =, and neither name nor value holds a NUL",
    });
  }
  return Buffer.concat([Buffer.from(`${name}=`), value]);
}

/** Absolute: a relative one of an image is below its root. */
export function planDirectory(
  { workdir }: Pick<ContainerSpec, "workdir">,
  image: Pick<ImageRunConfig, "workdir">,
): string {
  const directory = workdir || image.workdir || "/";
  if (isCut(directory)) throw unusable("working directory");
  return directory.startsWith("/") ? directory : `/${directory}`;
}

/** execve(2) would take what is before the NUL for all of it. */
function isCut(text: string): boolean {
  return text.includes("\0");
}

function unusable(what: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the container's ${what} holds a NUL`, { reason: "bad-text" });
}

// What is done when a program ends, as it is written on the command line.

import type { RestartPolicy } from "../sdk/index.js";
import { usageError } from "./usage-error.js";

type Name = RestartPolicy["name"];

/** Of a VM. */
export const VM_POLICIES: readonly Name[] = ["no", "on-failure", "always", "unless-stopped"];
/** Of a program that ends with its VM. */
export const EXEC_POLICIES: readonly Name[] = ["no", "on-failure", "always"];

/** "always", "on-failure:3". @param names those that make sense here */
export function parseRestart(verb: string, text: string, names: readonly Name[]): RestartPolicy {
  const [, word = "", count] = /^([a-z-]+)(?::([0-9]{1,6}))?$/.exec(text) ?? [];
  const name = names.find((each) => each === word);
  if (name === undefined || (count !== undefined && name !== "on-failure")) {
    const known = names.map((each) => (each === "on-failure" ? "on-failure[:N]" : each));
    throw usageError(
      verb,
      `--restart takes ${known.slice(0, -1).join(", ")} or ${known.at(-1)}, not "${text}"`,
    );
  }
  return { name, maximumRetryCount: Number(count ?? 0) };
}

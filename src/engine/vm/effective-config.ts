// The configuration as `inspect` and `ps` show it: what was asked, filled in with what the image says and with defaults.

import type { ImageRunConfig } from "../../image/types.js";
import type { ProgramPlan } from "./plan.js";
import { DEFAULTS, type VmConfig } from "./vm-config.js";

/** Docker's view: entrypoint and command together are what runs. Pure. */
export function effectiveConfig(config: VmConfig, image: ImageRunConfig, plan: ProgramPlan): VmConfig {
  return {
    ...config,
    ...splitArguments(config, image, plan.args),
    // A name alone stays to be seen, as in Docker: the host name that the boot would add knows by it that it is unwanted.
    env: [...plan.env, ...config.env.filter((entry) => isTakenAway(entry, plan.env))],
    user: plan.user,
    workdir: plan.workdir,
    labels: { ...image.labels, ...config.labels },
    stopSignal: config.stopSignal || image.stopSignal,
    stopTimeoutMs: config.stopTimeoutMs || DEFAULTS.stopTimeoutMs[plan.mode],
  };
}

function isTakenAway(entry: string, env: readonly string[]): boolean {
  return !entry.includes("=") && !env.some((other) => other.startsWith(`${entry}=`));
}

/** A system's init has neither of the two: it is all command. */
function splitArguments(config: VmConfig, image: ImageRunConfig, args: readonly string[]) {
  const own = config.entrypointSet || config.entrypoint.length > 0;
  const entrypoint = (own ? config.entrypoint : image.entrypoint).filter((word, at) => at > 0 || word !== "");
  const fits = entrypoint.every((word, at) => args[at] === word);
  return fits
    ? { entrypoint, command: args.slice(entrypoint.length) }
    : { entrypoint: [], command: [...args] };
}

// For which platforms an image may be built: the host's architecture, at the level that the VMM gives its guests.

import { Code, KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { Abortable } from "../../base/progress.js";
import { formatPlatform, parsePlatform, rankPlatform } from "../../image/index.js";
import type { Platform } from "../../image/types.js";
import type { VmmProbe } from "../../vmm/types.js";
import type { Rooms } from "../common/rooms.js";
import type { EngineSettings } from "../common/settings.js";
import type { Host, HostFacts } from "./host.js";

/** The best that a VMM's guests run: "linux/amd64/v3". */
export function guestPlatform(host: HostFacts, probe: Pick<VmmProbe, "cpuLevel">): Platform {
  const platform = parsePlatform(host.platform);
  if (platform.architecture !== "amd64" || probe.cpuLevel === undefined) return platform;
  return { ...platform, variant: `v${probe.cpuLevel}` };
}

/** What tells which platforms run here. */
export interface PlatformDeps {
  readonly host: Pick<Host, "facts">;
  readonly rooms: Pick<Rooms, "vmms">;
  readonly settings: Pick<EngineSettings, "vmm">;
  readonly log: Logger;
}

/** What a pull takes where nobody says: what the preferred VMM runs, the plain architecture where none works yet. */
export async function defaultPlatform(deps: PlatformDeps, options: Abortable): Promise<Platform> {
  const { host, rooms, settings, log } = deps;
  const choice = await rooms.vmms.choose(settings.vmm, options).catch((error: unknown) => {
    options.signal?.throwIfAborted();
    log.debug("no VMM says which platforms it runs", { why: String(error) });
    return undefined;
  });
  return guestPlatform(host.facts, choice?.probe ?? {});
}

/**
 * @param what for the message: "image app"
 * @throws KilnError invalid_argument `foreign-platform`
 */
export function requireRunnable(guest: Platform, platform: Platform, what: string, hint: string): void {
  if (rankPlatform(guest, platform) !== undefined) return;
  const [is, runs] = [formatPlatform(platform), formatPlatform(guest)];
  throw foreign(`${what}: it is for ${is}, VMs here run ${runs} and what that includes`, hint);
}

/**
 * That an image which is here is of the platform that was asked for.
 *
 * @throws KilnError invalid_argument `foreign-platform`
 */
export function requireAsked(asked: Platform, platform: Platform, image: string): void {
  if (rankPlatform(asked, platform) !== undefined) return;
  const [is, wants] = [formatPlatform(platform), formatPlatform(asked)];
  throw foreign(
    `image ${image} here is for ${is}, not for ${wants}`,
    `pull it again with \`kiln pull --platform ${wants} ${image}\``,
  );
}

function foreign(message: string, hint: string): KilnError {
  return new KilnError(Code.InvalidArgument, message, { reason: "foreign-platform", hint });
}

// kiln-share's command line for one share. Pure. What it does with it: agent/share.

import { planEnvironment, type RunAs } from "../base/privileges.js";
import type { GuestEnd, ShareMap, ShareSpec } from "./types.js";

/** Of kiln-share, in the order in which they are inherited. */
const SHARE_FDS = { root: 3, ledger: 4, guest: 5 } as const;

export interface ServerRequest {
  /** kiln-share's real path. */
  readonly program: string;
  readonly spec: ShareSpec;
  /** Name of the one file that is shared; undefined for a directory. */
  readonly file: string | undefined;
  readonly end: GuestEnd["kind"];
  /** Of a root daemon: whom it becomes where root owns what is shared. */
  readonly as?: RunAs | undefined;
  /** Shows it root's files as its own, which are root's on disk all the same. */
  readonly ownRoot?: boolean | undefined;
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

export interface ServerPlan {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export function planServer(request: ServerRequest): ServerPlan {
  const { program, spec, file, end, as, ownRoot = false, environment } = request;
  const argv = [
    program,
    "--await-start",
    ...["--root-fd", String(SHARE_FDS.root)],
    ...["--ledger-fd", String(SHARE_FDS.ledger)],
    ...[`--${end}-fd`, String(SHARE_FDS.guest)],
    ...["--map", describeMap(spec.map)],
    ...(as === undefined ? [] : ["--as", `${as.uid}:${as.gid}`]),
    ...(ownRoot ? ["--own-root"] : []),
    ...(spec.readOnly ? ["--read-only"] : []),
    ...(file === undefined ? [] : ["--name", file]),
    ...(spec.notify ? ["--notify"] : []),
  ];
  return { argv, env: planEnvironment(environment) };
}

/** Asks kiln-share, with the directory at descriptor 3, whether it could be served with `ownRoot`. */
export function planQuestion(program: string, { uid, gid }: RunAs): ServerPlan {
  return {
    argv: [program, "--can-own-root", String(SHARE_FDS.root), `${uid}:${gid}`],
    env: planEnvironment(),
  };
}

function describeMap(map: ShareMap): string {
  return map.kind === "squash"
    ? `squash:${map.uid}:${map.gid}`
    : `range:${map.guest}:${map.host}:${map.count}`;
}

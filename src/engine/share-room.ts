// Shares as the engine asks for them: a share's server meets the VMM's port here, since neither room knows the other.

import type { Stats } from "node:fs";
import { chmod } from "node:fs/promises";
import { Code, KilnError } from "../base/errors.js";
import { Pinned } from "../base/pinned.js";
import type { RunAs } from "../base/privileges.js";
import { isRoots, openSource, Shares, whyNotOwnRoot } from "../share/index.js";
import type { GuestEnd, ShareSpec } from "../share/types.js";
import { listenForGuest } from "../vmm/index.js";
import type { ShareConnection, ShareRoom } from "./common/rooms.js";

/** VMs' users are 65,536 from 1,900,000,000 on (host/ownership.ts), passt's as many after them; and then these. */
const SERVER_OFFSET = 2 * 65_536;
/** Of all VMs that have no user of their own (--vm-users=root). */
const SHARED_SERVER = 1_899_999_996;

/** @param program kiln-share's path @param uid kilnd's own */
export function createShareRoom(program: string, uid = process.getuid?.() ?? 0): ShareRoom {
  const shares = new Shares(program);
  const connect = ({ port, runAs, ...rest }: ShareConnection) => ({
    ...rest,
    as: uid === 0 ? serverUser(runAs?.uid) : undefined,
    guestEnd: () => guestEnd(port, runAs),
  });
  return {
    async check(spec) {
      if (spec.map.kind === "range" && uid !== 0) throw idmapNeedsRoot(spec);
      await using source = await openSource(spec);
      if (uid === 0 && isRoots(spec, source)) {
        const why = await whyNotOwnRoot(program, source, serverUser());
        if (why !== undefined) checkServable(spec, source.stats, why);
      }
      return { file: source.file };
    },
    serve: (spec, connection) => shares.serve(spec, connect(connection)),
    adopt: (spec, connection) => shares.adopt(spec, connect(connection)),
  };
}

/** Whom a root daemon's server becomes where root owns what is shared: nobody else's user. */
function serverUser(vmUser?: number): RunAs {
  const uid = vmUser === undefined ? SHARED_SERVER : vmUser + SERVER_OFFSET;
  return { uid, gid: uid };
}

async function guestEnd(port: ShareConnection["port"], runAs: RunAs | undefined): Promise<GuestEnd> {
  if (port.kind === "connect") {
    // In a directory that only kilnd writes.
    const pinned = await Pinned.open(port.socket, { kind: "socket" });
    // In a directory that nobody else enters: it is the server, by its descriptor, who may connect.
    await chmod(pinned.path, 0o666).catch(async (error: unknown) => {
      await pinned.close();
      throw KilnError.from(error, `let a server connect to ${port.socket}`);
    });
    return { kind: "connect", fd: pinned.fd, [Symbol.asyncDispose]: () => pinned.close() };
  }
  const listening = await listenForGuest(port, runAs);
  return { kind: "listen", fd: listening.fd, [Symbol.asyncDispose]: async () => listening.close() };
}

function idmapNeedsRoot({ source }: ShareSpec): KilnError {
  return new KilnError(Code.FailedPrecondition, `share ${source}: only a kilnd of root can map ids`, {
    reason: "idmap-needs-root",
    hint: "leave idmap out: all files are yours then, and root's in the VM",
  });
}

/**
 * Of root's files a server that is never root, and can't be shown them as its own, has what all have: said at once, and not
 * by each program in the guest.
 */
function checkServable({ source, readOnly }: ShareSpec, stats: Stats, why: string): void {
  const forAll = stats.isDirectory() ? 0o5 : 0o4;
  const needed = readOnly ? forAll : forAll | 0o2;
  if ((stats.mode & needed) === needed) return;
  throw new KilnError(
    Code.FailedPrecondition,
    `share ${source}: it is root's, and its server, which is not, could not ${readOnly ? "read" : "write"} it: ${why}`,
    {
      reason: "share-owned-by-root",
      hint: `give it an owner other than root${readOnly ? "" : ", or add :ro"}; \`idmap=0:100000:65536\` gives the VM users of its own`,
    },
  );
}

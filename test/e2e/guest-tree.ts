// Two listings of one image's tree, and how they are compared: kiln-treewalk inside a VM, and the same program over
// what `umoci unpack` makes of the image as root.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { agentPath } from "../fixtures/assets.js";
import { run, type TestKiln } from "./harness.js";

const TREEWALK = join(dirname(agentPath()), "kiln-treewalk");

/**
 * What kiln itself puts on the root: mount points that Docker makes as well (docs/guide/images.md), and ext4's own
 * directory. Where the image did not have them, their parent's mtime changes.
 */
const OURS = /^\.\/(lost\+found|dev|proc|sys|etc\/(hosts|hostname|resolv\.conf)|(usr\/)?lib\/modules)(\/|$)/;

/** By path, "." for the root. */
export type Listing = Map<string, Record<string, unknown>>;

function parseListing(text: string): Listing {
  const found: Listing = new Map();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const node = JSON.parse(line) as Record<string, unknown>;
    found.set(String(node.path), node);
  }
  return found;
}

const parentOf = (path: string) => path.slice(0, path.lastIndexOf("/"));

/** Both listings without what kiln mounts; the mtime of a directory that got a mount point made is left out. */
function comparable(guest: Listing, host: Listing, withoutTimes: readonly string[]): [Listing, Listing] {
  const made = (isOurs: (path: string) => boolean) =>
    [...guest.keys()].filter((path) => isOurs(path) && !host.has(path)).map(parentOf);
  // An image without /etc gets one, to hold what is mounted there.
  const holders = new Set(made((path) => OURS.test(path)).filter((path) => !host.has(path)));
  const isOurs = (path: string) => OURS.test(path) || holders.has(path);
  const untimed = new Set([
    ...made(isOurs),
    ...withoutTimes.map((path) => (path === "" ? "." : `./${path}`)),
  ]);
  const strip = (listing: Listing): Listing => {
    const kept: Listing = new Map();
    for (const [path, node] of listing) {
      if (isOurs(path)) continue;
      kept.set(path, untimed.has(path) ? { ...node, mtimeNs: "" } : node);
    }
    return kept;
  };
  return [strip(guest), strip(host)];
}

/** @param withoutTimes directories that umoci leaves at the time of unpacking, without "./" */
export function assertSameTree(guest: Listing, host: Listing, withoutTimes: readonly string[] = []): void {
  assert.ok(host.size > 10, "umoci unpacked something");
  assertSameListing(...comparable(guest, host, withoutTimes));
}

function assertSameListing(guest: Listing, host: Listing): void {
  const differing: string[] = [];
  for (const path of new Set([...guest.keys(), ...host.keys()])) {
    const [a, b] = [JSON.stringify(guest.get(path)), JSON.stringify(host.get(path))];
    if (a !== b) differing.push(`${path}\n  guest ${a}\n  umoci ${b}`);
  }
  assert.deepEqual(differing.slice(0, 20), [], `${differing.length} of ${host.size} paths differ`);
}

/** What umoci makes of an image of a layout. */
export async function umociTree(layout: string, tag: string, scratch: string): Promise<Listing> {
  const bundle = join(scratch, "bundle");
  const unpacked = await run(["umoci", "unpack", "--image", `${layout}:${tag}`, bundle]);
  assert.equal(unpacked.code, 0, unpacked.stderr);
  const walked = await run([TREEWALK, join(bundle, "rootfs")]);
  assert.equal(walked.code, 0, walked.stderr);
  await rm(bundle, { recursive: true });
  return parseListing(walked.stdout);
}

/** What a VM of the image sees. @param command a program of the image that does not end */
export async function guestTree(kiln: TestKiln, image: string, command: readonly string[]): Promise<Listing> {
  const vm = (
    await kiln.ok(["run", "-d", "--network", "none", "--entrypoint", "", image, ...command])
  ).trim();
  await kiln.ok(["cp", TREEWALK, `${vm}:/dev/treewalk`]);
  // As root also where the image has another user: it must see everything.
  const listing = parseListing(
    await kiln.ok(["exec", "--user", "0", vm, "/dev/treewalk", "/"], { timeoutMs: 600_000 }),
  );
  await kiln.ok(["rm", "-f", vm]);
  return listing;
}

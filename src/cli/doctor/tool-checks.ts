// The programs that kiln runs: hypervisors, what drops their privileges, and kiln's own parts.

import { existsSync } from "node:fs";
import { access, constants, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { errnoOf } from "../../base/errors.js";
import { kilnPaths } from "../../base/paths.js";
import { type Finding, failure, findProgram, findPrograms, helpOf, ok, versionOf, warning } from "./check.js";

const LEAST_QEMU = [7, 2] as const;

/** QEMU, new enough. */
export async function checkQemu(env: NodeJS.ProcessEnv): Promise<Finding> {
  const path = await findProgram("qemu-system-x86_64", env);
  const hint = "apt-get install --no-install-recommends qemu-system-x86";
  if (path === undefined) return failure("qemu", "qemu-system-x86_64 is not installed", hint);
  const version = await versionOf(path);
  return judgeQemu(version ?? "", path, hint);
}

/** @param versionLine "QEMU emulator version 7.2.22 (Debian ...)" */
function judgeQemu(versionLine: string, path: string, hint: string): Finding {
  const match = /version ([0-9]+)\.([0-9]+)[0-9.]*/.exec(versionLine);
  if (match === null) return warning("qemu", `${path} does not tell its version`, hint);
  const [major, minor] = [Number(match[1]), Number(match[2])];
  const found = `${match[0].replace("version ", "")} at ${path}`;
  const fine = major > LEAST_QEMU[0] || (major === LEAST_QEMU[0] && minor >= LEAST_QEMU[1]);
  return fine ? ok("qemu", found) : failure("qemu", found, `QEMU ${LEAST_QEMU.join(".")} or newer is needed`);
}

/** Firecracker, which is optional. */
export async function checkFirecracker(env: NodeJS.ProcessEnv): Promise<Finding> {
  const path = await findProgram("firecracker", env);
  // Not a fault: QEMU does all that kiln needs.
  if (path === undefined) return ok("firecracker", "not installed; QEMU is used");
  return ok("firecracker", `${(await versionOf(path)) ?? "of unknown version"} at ${path}`);
}

/** Whether KVM may be used. Whether it works only a boot shows; kilnd tries that once, and `kiln info` tells. */
export async function checkKvm(device = "/dev/kvm"): Promise<Finding> {
  const slow = "without KVM, VMs run under software emulation: right, but several times slower";
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return ok(
      "kvm",
      `${device} opens; with kilnd running (\`kiln ps\` starts it) \`kiln info\` tells whether a boot under it succeeded`,
    );
  } catch (error) {
    if (errnoOf(error) === "ENOENT") {
      return warning(
        "kvm",
        `there is no ${device}`,
        `turn on virtualisation in the firmware or the cloud; ${slow}`,
      );
    }
    return warning(
      "kvm",
      `${device} is not ours to open`,
      `usermod -aG kvm $USER, then log in again; ${slow}`,
    );
  }
}

/** setpriv(1), which takes rights from VMMs. */
export async function checkSetpriv(env: NodeJS.ProcessEnv): Promise<Finding> {
  const path = await findProgram("setpriv", env);
  if (path !== undefined) return ok("setpriv", path);
  return failure(
    "setpriv",
    "setpriv is not installed",
    "apt-get install util-linux: VMMs run without privileges through it",
  );
}

/** dist/src/cli/doctor/ is four below the package. */
const PACKAGE = fileURLToPath(new URL("../../../../", import.meta.url));
const OWN_PLACES = ["libexec", "agent/target/release"];

/** The program that is PID 1 of guests. */
export function checkAgent(): Finding {
  const path = ownFile("kiln-agent");
  if (path !== undefined) return ok("agent", path);
  return failure("agent", "the guest agent is not built", "npm run setup builds it (it needs cargo)");
}

/** The library that keeps guests off the host's loopback. */
export function checkNetguard(): Finding {
  const path = ownFile("libkiln_netguard.so");
  if (path !== undefined) return ok("netguard", path);
  return failure(
    "netguard",
    "the network guard is not built",
    "npm run setup builds it; without it VMs get no network card, because guests could reach this host's loopback",
  );
}

/** The program that serves shared directories. */
export function checkShareServer(): Finding {
  const path = ownFile("kiln-share");
  if (path !== undefined) return ok("share server", path);
  return failure(
    "share server",
    "the server of shared directories is not built",
    "npm run setup builds it; without it -v /DIRECTORY:/PATH is refused",
  );
}

function ownFile(name: string): string | undefined {
  return OWN_PLACES.map((place) => join(PACKAGE, place, name)).find((path) => existsSync(path));
}

/** A guest kernel, or a way to get one. */
export async function checkKernel(env: NodeJS.ProcessEnv, uid: number): Promise<Finding> {
  const releases = await storedReleases(join(kilnPaths(env, uid).data, "kernels"));
  if (releases.length > 0) return ok("kernel", releases.join(", "));
  const apt = await findProgram("apt-get", env);
  if (apt !== undefined) return ok("kernel", "none yet; the first VM fetches Debian's through apt");
  return warning("kernel", "none yet, and no apt-get to fetch Debian's", "kiln kernel import FILE");
}

async function storedReleases(directory: string): Promise<string[]> {
  const ids = await readdir(directory).catch(() => []);
  const releases: string[] = [];
  for (const id of ids.filter((name) => /^[0-9a-f]{64}$/.test(name))) {
    const text = await readFile(join(directory, id, "kernel.json"), "utf8").catch(() => "");
    const release = /"release":\s*"([^"]{1,100})"/.exec(text)?.[1];
    if (release !== undefined) releases.push(release);
  }
  return releases;
}

const PASST_PLACES = ["libexec", ".build/passt"];
/** Of passt's help since August 2024; kilnd asks for the same (src/net/user/probe.ts). */
const PASST_OPTION = "--map-host-loopback";

/** passt, new enough to be trusted with a guest. Whether it confines itself here kilnd tries: `kiln info` tells. */
export async function checkUserNetwork(env: NodeJS.ProcessEnv): Promise<Finding> {
  const own = PASST_PLACES.map((place) => join(PACKAGE, place, "passt")).filter((path) => existsSync(path));
  const set = env.KILN_PASST;
  const candidates = set !== undefined ? [set] : own.length > 0 ? own : await findPrograms("passt", env);
  const name = "user network";
  for (const path of candidates) {
    if ((await helpOf(path)).includes(PASST_OPTION)) return ok(name, `passt at ${path}`);
  }
  const found =
    candidates.length === 0
      ? "passt is not installed"
      : `passt at ${candidates.join(", ")} is older than August 2024 and would let guests reach this host's loopback`;
  const cure = "Debian 13's passt, or `node scripts/passt.mjs` in kiln's package, which builds it";
  return warning(name, `${found}: VMs get no network card; published ports work`, cure);
}

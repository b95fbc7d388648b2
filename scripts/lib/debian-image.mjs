// OCI images made from Debian's own packages with mmdebstrap, from the mirror that this machine is set up for: no
// public registry is needed. Works as root and as an ordinary user, with the same ownership inside.

import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { writeOciLayout } from "./oci-layout.mjs";
import { PATHS } from "./paths.mjs";
import { capture, collect, SetupError } from "./run.mjs";
import { hashInputs, isFresh, removeStamp, writeStamp } from "./stamps.mjs";
import { say, step } from "./step.mjs";

const SUITE = "bookworm";
const MIRROR = "http://deb.debian.org/debian";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * What the images hold, and how they are started. `debian` is the one that `npm start` boots; the others are the
 * tests'.
 */
const DEBIAN_IMAGES = {
  debian: { include: [], config: { Cmd: ["bash"] } },
  nginx: {
    include: ["nginx-light", "curl"],
    config: {
      Cmd: ["nginx", "-g", "daemon off;"],
      ExposedPorts: { "80/tcp": {} },
      StopSignal: "SIGQUIT",
    },
  },
  postgres: {
    include: ["postgresql-15"],
    config: {
      User: "postgres",
      Env: [
        "PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin",
        "PGDATA=/var/lib/postgresql/15/main",
      ],
      // Debian's socket directory is below /run, which is made at boot and which mmdebstrap leaves empty.
      Cmd: [
        "postgres",
        "-D",
        "/etc/postgresql/15/main",
        "-c",
        "listen_addresses=*",
        "-c",
        "unix_socket_directories=/tmp",
      ],
      ExposedPorts: { "5432/tcp": {} },
      StopSignal: "SIGINT",
    },
    hooks: [
      // Published ports reach the server from the guest's own loopback, where Debian asks for a password nobody has set.
      'sed -i "1i host all all all trust" "$1"/etc/postgresql/15/main/pg_hba.conf',
      // In fakechroot mode, what the package's script makes as the user postgres counts as root's.
      'chroot "$1" chown -R postgres:postgres /var/lib/postgresql',
    ],
  },
  node: { include: ["nodejs"], config: { Entrypoint: ["node"] } },
  systemd: { include: ["systemd", "systemd-sysv", "dbus", "udev", "kmod"], config: {} },
  // What uses most of a kernel: containers, packet filters, tunnels, file systems. Every program of the tests that ask
  // whether guests have the kernel that they need.
  containers: {
    include: [
      ...["podman", "crun", "netavark", "docker.io"],
      ...["iproute2", "iputils-ping", "iptables", "nftables", "wireguard-tools"],
      ...["busybox-static", "diod", "erofs-utils", "kmod", "squashfs-tools", "squashfuse"],
    ],
    config: { Cmd: ["sleep", "infinity"] },
  },
  // What people run on a shared directory, for the tier that runs it there (`npm test -- e2e-shares`).
  programs: {
    include: ["gcc", "libc6-dev", "make", "git", "npm", "postgresql-15", "sqlite3"],
    config: { Cmd: ["sleep", "infinity"] },
  },
  // Some 500 MB of programs, libraries, headers and small files: what the base's bench turns into a disk.
  bench: { include: ["build-essential", "python3", "git"], config: { Cmd: ["bash"] } },
};

/** The images that ordinary tests boot. */
export const TEST_IMAGES = Object.keys(DEBIAN_IMAGES).filter((name) => !["bench", "programs"].includes(name));

/** Makes those of DEBIAN_IMAGES that are missing, as OCI layouts with the tag `bookworm`, a few at a time. */
export async function ensureDebianImages(names) {
  const hashOf = (name) => hashInputs([], JSON.stringify([SUITE, DEBIAN_IMAGES[name]]));
  const missing = names.filter(
    (name) => !isFresh(`image-${name}`, hashOf(name), [`${PATHS.images}/${name}/index.json`]),
  );
  if (missing.length === 0) return;
  await step(`make Debian ${SUITE} images with mmdebstrap: ${missing.join(", ")}`, async () => {
    const queue = [...missing];
    const worker = async () => {
      for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
        removeStamp(`image-${name}`);
        await makeImage(`${PATHS.images}/${name}`, DEBIAN_IMAGES[name]);
        writeStamp(`image-${name}`, hashOf(name));
      }
    };
    await Promise.all(Array.from({ length: Math.min(availableParallelism(), missing.length) }, worker));
  });
}

async function makeImage(directory, { include, config, hooks = [] }) {
  mkdirSync(PATHS.images, { recursive: true });
  const scratch = mkdtempSync(`${process.env.TMPDIR ?? tmpdir()}/kiln-image-`);
  const half = `${directory}.tmp-${process.pid}`;
  try {
    const tar = `${scratch}/root.tar`;
    await bootstrap(tar, include, hooks);
    await writeOciLayout(half, tar, { tag: SUITE, config });
    rmSync(directory, { recursive: true, force: true });
    renameSync(half, directory);
  } finally {
    rmSync(half, { recursive: true, force: true });
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Tries mmdebstrap's own choice of mode first; fakechroot needs neither root nor subordinate ids. */
async function bootstrap(tar, include, hooks) {
  const failures = [];
  for (const mode of ["auto", "fakechroot"]) {
    const result = await collect("mmdebstrap", planBootstrap(tar, include, hooks, mode), { cwd: "/" });
    if (result.code === 0) return;
    failures.push(`mmdebstrap --mode=${mode}:\n${result.stderr.split("\n").slice(-20).join("\n")}`);
    if (process.getuid() === 0) break;
    say(`    mode ${mode} does not work here`);
  }
  throw new SetupError(`Cannot make a Debian image:\n${failures.join("\n")}`);
}

function planBootstrap(tar, include, hooks, mode) {
  return [
    `--mode=${mode}`,
    "--variant=minbase",
    "--quiet",
    ...(include.length === 0 ? [] : [`--include=${include.join(",")}`]),
    ...aptOptions().map((option) => `--aptopt=${option}`),
    ...hooks.map((hook) => `--customize-hook=${hook}`),
    // mmdebstrap keeps the options in the image: they are this machine's business only.
    '--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/hostname "$1"/etc/resolv.conf',
    SUITE,
    tar,
    ...sources(),
  ];
}

/** How this machine reaches its mirror (proxy, retries, a mirror that is a dated copy). */
function aptOptions() {
  const kept = /^Acquire::(https?::|Retries|Check-Valid-Until|Check-Date|ForceIPv)/;
  const lines = capture("apt-config", ["dump"]).stdout.split("\n");
  return lines.filter((line) => kept.test(line) && !line.includes('""'));
}

/** One-line sources of the machine's own Debian mirror of that suite, or of Debian's. */
function sources() {
  const format = "$(ORIGIN) $(CODENAME) $(REPO_URI) $(RELEASE) $(COMPONENT)";
  const targets = capture("apt-get", ["indextargets", "--format", format, "Identifier: Packages"]).stdout;
  const signed = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : "";
  const found = new Set();
  for (const line of targets.split("\n")) {
    const [origin, codename = "", uri = "", release = "", component] = line.split(" ");
    if (origin !== "Debian" || component !== "main" || !codename.startsWith(SUITE)) continue;
    // The mirror's name for the suite may be "stable": the image says bookworm.
    found.add(`deb ${signed}${uri} ${release.replace(/^(old)*stable/, SUITE)} main`);
  }
  const base = [...found].some((line) => line.endsWith(` ${SUITE} main`));
  return base ? [...found] : [`deb ${signed}${MIRROR} ${SUITE} main`];
}

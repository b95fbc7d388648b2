// The Debian packages that kiln needs, each known by a file or program that it brings: looking for those takes a
// millisecond, and works on other distributions too.

import { existsSync } from "node:fs";
import { capture, findProgram, run, SetupError } from "./run.mjs";
import { say } from "./step.mjs";

const program = (name) => () => findProgram(name) !== undefined;
const file = (path) => () => existsSync(path);

const RUN = {
  bubblewrap: program("bwrap"),
  "ca-certificates": file("/etc/ssl/certs/ca-certificates.crt"),
  "dnsmasq-base": program("dnsmasq"),
  iproute2: program("ip"),
  kmod: program("depmod"),
  nftables: program("nft"),
  "qemu-system-x86": program("qemu-system-x86_64"),
  "util-linux": program("setpriv"),
  "xz-utils": program("xz"),
  zstd: program("zstd"),
};
/** cargo links with them, passt is built with them; curl brings cargo. */
const BUILD = {
  curl: program("curl"),
  // Of deb12u2 or later: has the keys by which the sources of passt are checked.
  "debian-archive-keyring": file("/usr/share/keyrings/debian-archive-trixie-stable.gpg"),
  gcc: program("gcc"),
  "libc6-dev": file("/usr/include/stdio.h"),
  make: program("make"),
  patch: program("patch"),
};
/** Debian images are made with them; fakechroot for users without subordinate ids. */
const IMAGE = {
  fakechroot: program("fakechroot"),
  fakeroot: program("fakeroot"),
  mmdebstrap: program("mmdebstrap"),
};
const TEST = {
  acl: program("setfacl"),
  "apache2-utils": program("htpasswd"),
  attr: program("setfattr"),
  "busybox-static": program("busybox"),
  "containernetworking-plugins": file("/usr/lib/cni/bridge"),
  "docker-registry": program("docker-registry"),
  e2fsprogs: program("e2fsck"),
  git: program("git"),
  // What those call.
  iptables: program("iptables"),
  "libcap2-bin": program("setcap"),
  lz4: program("lz4"),
  openssl: program("openssl"),
  procps: program("ps"),
  "postgresql-client": program("psql"),
  skopeo: program("skopeo"),
  slirp4netns: program("slirp4netns"),
  sqlite3: program("sqlite3"),
  strace: program("strace"),
  umoci: program("umoci"),
};
/** What compiles kiln's own kernel: src/kernel/build/toolchain.ts knows the same list. */
const KERNEL = {
  bc: program("bc"),
  bison: program("bison"),
  flex: program("flex"),
  "libelf-dev": file("/usr/include/gelf.h"),
  perl: program("perl"),
};

/**
 * Installs what is missing, as root; otherwise throws with the one line that does.
 *
 * @param {{ tests?: boolean, kernel?: boolean }} options also what only tests need, or building a kernel
 */
export async function ensurePackages({ tests = false, kernel = false }) {
  const wanted = { ...RUN, ...BUILD, ...IMAGE, ...(tests ? TEST : {}), ...(kernel ? KERNEL : {}) };
  const missing = Object.keys(wanted).filter((name) => !wanted[name]());
  if (missing.length === 0) return;
  if (process.getuid() !== 0 || findProgram("apt-get") === undefined) {
    throw new SetupError(
      `Some programs are missing. Install them, then run this again:\n\n  sudo apt-get install --no-install-recommends ${missing.join(" ")}\n`,
    );
  }
  say(`==> installing ${missing.join(" ")}`);
  await install(missing);
  const still = missing.filter((name) => !wanted[name]());
  if (still.length > 0) throw new SetupError(`apt-get did not bring what is expected of: ${still.join(" ")}`);
}

async function install(packages) {
  const options = { env: { DEBIAN_FRONTEND: "noninteractive" }, quiet: true };
  const lock = ["-o", "DPkg::Lock::Timeout=600"];
  // One of many sources may be down: what counts is whether the install works.
  const update = capture("apt-get", ["-qq", ...lock, "update"], options);
  if (update.code !== 0) say(`apt-get update failed:\n${update.stderr}`);
  await run("apt-get", ["-qq", "-y", ...lock, "install", "--no-install-recommends", ...packages], options);
}

// Where the checkout keeps what set-up makes. Everything below .build/ can be removed at any time.

import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
export const BUILD = `${ROOT}/.build`;

export const PATHS = {
  /** The command: a native program that does exec itself and becomes `cli` for the rest. */
  kiln: `${ROOT}/dist/bin/kiln`,
  cli: `${ROOT}/dist/src/cli/main.js`,
  daemon: `${ROOT}/dist/src/daemon/main.js`,
  agent: `${ROOT}/agent/target/release/kiln-agent`,
  front: `${ROOT}/agent/target/release/kiln`,
  netguard: `${ROOT}/agent/target/release/libkiln_netguard.so`,
  /** Hands open files to QEMU. */
  sendfd: `${ROOT}/agent/target/release/kiln-sendfd`,
  /** Makes the taps of VMs' cards. */
  tap: `${ROOT}/agent/target/release/kiln-tap`,
  /** Answers guests that ask for their addresses. */
  lease: `${ROOT}/agent/target/release/kiln-lease`,
  share: `${ROOT}/agent/target/release/kiln-share`,
  /** Lists trees inside test guests. */
  treewalk: `${ROOT}/agent/target/release/kiln-treewalk`,
  posix: `${ROOT}/agent/target/release/kiln-posix`,
  stamps: `${BUILD}/stamps`,
  /** Kernels: Debian's packages, kiln's own builds, and the data root of both. */
  kernels: `${BUILD}/kernel`,
  /** Debian's kernel packages as apt brought them. */
  kernelDebs: `${BUILD}/kernel/debs`,
  /** A data root that holds nothing but those kernels, imported. */
  kernelData: `${BUILD}/kernel/data`,
  /** OCI layouts, one directory per image. */
  images: `${BUILD}/images`,
  /** passt and pasta, built from Debian's newer sources, which stay beside them. */
  passt: `${BUILD}/passt`,
  passtSources: `${BUILD}/passt/sources`,
  /** critest and crictl, built from their Go module. */
  cri: `${BUILD}/cri`,
  /** KILN_ROOT of `npm start`. */
  startRoot: `${BUILD}/start`,
};

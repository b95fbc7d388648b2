// What named networks need of the host. None of it is needed for anything else.

import { access, constants } from "node:fs/promises";
import { type Finding, findProgram, ok, warning } from "./check.js";

/** The program, and Debian's package of it. */
const PROGRAMS = { ip: "iproute2", nft: "nftables", dnsmasq: "dnsmasq-base" } as const;

/** Programs, and for an ordinary user the device of taps. */
export async function checkNetworks(
  env: NodeJS.ProcessEnv,
  uid: number,
  tun = "/dev/net/tun",
): Promise<Finding> {
  const missing: string[] = [];
  for (const [name, its] of Object.entries(PROGRAMS)) {
    if ((await findProgram(name, env)) === undefined) missing.push(its);
  }
  if (missing.length > 0) {
    const hint = `apt-get install --no-install-recommends ${missing.join(" ")}: without, there are no networks of \`kiln network create\``;
    return warning(
      "networks",
      `${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} not installed`,
      hint,
    );
  }
  try {
    if (uid !== 0) await access(tun, constants.R_OK | constants.W_OK);
  } catch {
    const hint = `as root: chmod 666 ${tun} (udev's default): without, there are no networks of \`kiln network create\``;
    return warning("networks", `${tun} is not this user's to open`, hint);
  }
  return ok("networks", "what networks of `kiln network create` need is here");
}

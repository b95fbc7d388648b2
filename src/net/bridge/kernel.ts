// Whether the kernel can do what networks are made of, by making one where nobody sees it: modules that are not loaded, user
// namespaces that are forbidden show in no other way.

import { KilnError } from "../../base/errors.js";
import { bridgeName, type NetworkSpec, tapName } from "../../base/networks.js";
import type { NetworkCard } from "../types.js";
import type { BridgePrograms } from "./place.js";
import { planCard } from "./plan-card.js";
import { planRules } from "./plan-rules.js";
import { runProgram } from "./run-program.js";

const ID = "0".repeat(64);
const SPEC: NetworkSpec = {
  ...{
    id: ID,
    name: "try",
    driver: "bridge",
    internal: false,
    isolated: false,
    mtu: 1500,
    dnsDisabled: false,
  },
  ...{
    subnet4: "192.0.2.0/24",
    gateway4: "192.0.2.1",
    subnet6: "2001:db8::/64",
    gateway6: "2001:db8::1",
    options: {},
  },
};
const CARD: NetworkCard = {
  ...{
    vmId: ID,
    vmName: "try",
    index: 0,
    mac: "02:00:00:00:00:01",
    ip4: "192.0.2.2",
    ip6: "2001:db8::2",
    aliases: [],
  },
  egress: { kind: "all" },
};
/** An ordinary user's namespace loads none of them by itself. */
const MODULES =
  "bridge nf_tables nft_chain_nat nft_masq nft_redir nft_reject_inet nft_ct nft_limit nft_connlimit tun";

/** Why it can't; undefined where it can. */
export async function refusalOfKernel(
  { ip, nft }: BridgePrograms,
  isRoot: boolean,
): Promise<string | undefined> {
  const links = [bridgeName(ID), tapName(ID, 0)].map((name) => `${ip} link add ${name} type bridge`);
  const script = [...links, `exec ${nft} -f -`].join(" && ");
  const unshare = [
    "unshare",
    ...(isRoot ? [] : ["--user", "--map-root-user"]),
    "--net",
    "--",
    "sh",
    "-c",
    script,
  ];
  try {
    await runProgram("make one to try", unshare, planRules(SPEC) + planCard(SPEC, CARD));
    return undefined;
  } catch (error) {
    return `${KilnError.from(error).message} (where modules are missing, as root: modprobe -a ${MODULES})`;
  }
}

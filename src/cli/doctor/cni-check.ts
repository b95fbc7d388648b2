// The CNI networks of this host, as kilnd finds them: its settings say where they are, and it may read what is root's.

import type { NetworkInfo } from "../../sdk/index.js";
import { type Finding, ok, warning } from "./check.js";

/** @param networks those of the driver `cni`; undefined where no kilnd runs that could be asked */
export function checkCni(networks: readonly NetworkInfo[] | undefined): Finding {
  if (networks === undefined) return ok("CNI", "kilnd is asked where it runs");
  if (networks.length === 0)
    return ok("CNI", "this host describes no CNI network (kilnd's setting cni-configs)");
  const found = networks.map(({ name, options }) => {
    const { plugins, file = "", flaw } = options;
    return `${name} (${[file, plugins, flaw].filter((text) => text !== undefined).join(": ")})`;
  });
  const text = found.join("; ");
  if (networks.some(({ options }) => options.flaw !== undefined))
    return warning("CNI", text, "what is wrong with a file concerns VMs on that network alone");
  const loose = networks.find(({ options }) => options.unheld !== undefined)?.options.unheld;
  if (loose !== undefined) return warning("CNI", `${text}; ${loose}`, "--egress is refused there until then");
  return ok("CNI", text);
}

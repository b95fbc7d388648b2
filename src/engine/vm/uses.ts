// What a VM needs of other objects. Pure.

import type { Ref, Use } from "../objects/references.js";
import type { Mount } from "./mount-config.js";
import type { VmRecord } from "./record.js";

export function vmRef(id: string): Ref {
  return { noun: "vm", id };
}

/** Its disk is nothing without its base, nor its mounts and cards without theirs; image and kernel may be removed by force, and come back. */
export function usesOf({ config, base, kernelId }: VmRecord): Omit<Use, "from">[] {
  const uses: Omit<Use, "from">[] = [
    { to: { noun: "image", id: config.imageId }, how: "made-from" },
    { to: { noun: "base", id: base }, how: "needs" },
    { to: { noun: "kernel", id: kernelId }, how: "made-from" },
    ...config.mounts.flatMap(usesOfMount),
    ...config.networks.map(
      ({ networkId }): Omit<Use, "from"> => ({
        to: { noun: "network", id: networkId },
        how: "needs",
      }),
    ),
  ];
  // A record that is lost names nothing.
  return uses.filter(({ to }) => to.id !== "");
}

function usesOfMount({ volumeId, imageId, base }: Mount): Omit<Use, "from">[] {
  return [
    { to: { noun: "volume", id: volumeId }, how: "needs" },
    { to: { noun: "image", id: imageId }, how: "made-from" },
    { to: { noun: "base", id: base }, how: "needs" },
  ];
}

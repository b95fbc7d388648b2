// All VMs in memory, by id and by name.

import { Registry } from "../objects/registry.js";
import type { VmEntry } from "./entry.js";

export class VmRegistry extends Registry<VmEntry> {
  constructor() {
    super({
      noun: "VM",
      order: ({ record }) => record.createdAt,
      removal: (name) => `\`kiln rm ${name}\``,
    });
  }
}

// All volumes in memory, by id and by name.

import { Registry } from "../objects/registry.js";
import type { VolumeEntry } from "./entry.js";

export class VolumeRegistry extends Registry<VolumeEntry> {
  constructor() {
    super({
      noun: "volume",
      order: ({ record }) => record.createdAt,
      removal: (name) => `\`kiln volume rm ${name}\``,
    });
  }
}

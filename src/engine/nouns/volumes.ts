// Volumes as a noun: their verbs, and what lies in them.

import type { EngineContext } from "../run/context.js";
import type { VmVerbs } from "../run/vm-verbs.js";
import { VolumeVerbs } from "../volumes/volume-verbs.js";
import { growMounted } from "../workload/grow-mounted.js";
import { VolumeFiles } from "./volume-files.js";

export class Volumes extends VolumeVerbs {
  /** What lies in volumes. */
  readonly files: VolumeFiles;

  constructor(ctx: EngineContext, verbs: VmVerbs) {
    super({ ...ctx, growMounted: (volume, writer) => growMounted(ctx, volume, writer) });
    this.files = new VolumeFiles(ctx, verbs);
  }
}

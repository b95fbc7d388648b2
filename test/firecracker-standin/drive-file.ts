// Another file behind a drive of the running machine, as PATCH /drives does: the guest sees the new size.

import { statSync } from "node:fs";
import type { QmpClient } from "../../src/vmm/qemu/client.js";
import type { Body } from "./schema.js";

/** Those that drives were given since the start. */
export class DriveFiles {
  readonly #nodes = new Map<string, string>();
  #count = 0;

  async change(qmp: QmpClient | undefined, drive: Body, path: string): Promise<void> {
    const id = String(drive.drive_id);
    const readOnly = drive.is_read_only === true;
    const file = `f${this.#count++}`;
    const reopen = (isReadOnly: boolean) =>
      qmp?.execute("blockdev-reopen", {
        options: [{ driver: "raw", "node-name": id, "read-only": isReadOnly, file }],
      });
    await qmp?.execute("blockdev-add", {
      ...{ driver: "file", "node-name": file, filename: path, locking: "off" },
      ...{ "read-only": false, "auto-read-only": true },
    });
    // QEMU tells a guest the size of what can be written alone.
    await reopen(false);
    await qmp?.execute("block_resize", { "node-name": id, size: statSync(path).size });
    if (readOnly) await reopen(true);
    const before = this.#nodes.get(id);
    this.#nodes.set(id, file);
    if (before !== undefined) await qmp?.execute("blockdev-del", { "node-name": before });
  }
}

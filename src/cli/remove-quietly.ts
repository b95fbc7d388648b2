// The end of a `--rm` VM that could not be run: it goes, whatever stands in the way.

import type { Vm } from "../sdk/index.js";

/** Removes the VM by force. Where that fails it is gone already, or kilnd is: why it did not run says more. */
export async function removeQuietly(find: () => Vm | Promise<Vm>): Promise<void> {
  try {
    await (await find()).remove({ force: true });
  } catch {
    // see above
  }
}

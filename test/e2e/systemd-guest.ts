// A guest in system mode: that systemd can be asked at once, and has started all of it.

import assert from "node:assert/strict";
import type { TestKiln } from "./harness.js";

/**
 * Asks systemd until when it is starting, right after `run -d` or `start` came back; fails with the names of the units
 * that did not start.
 */
export async function systemdIsRunning(kiln: TestKiln, vm: string): Promise<void> {
  const asked = await kiln.kiln(["exec", vm, "systemctl", "is-system-running", "--wait"], {
    timeoutMs: 240_000,
  });
  const failed = await kiln.ok(["exec", vm, "systemctl", "--failed", "--no-legend", "--plain"]);
  assert.equal(asked.stdout.trim(), "running", `systemd says ${asked.stderr}; degraded by:\n${failed}`);
}

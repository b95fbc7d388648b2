// One bare boot of a kernel with a deadline: the proof that a VMM can run guests on this host.

import { describeEnd, type VmmProcess } from "./vmm-process.js";

/** A working KVM needs about a second, a useless one prints nothing for minutes. */
const TEST_BOOT_MS = 10_000;

/** Why a test boot did not succeed. */
export interface BootFailure {
  readonly why: string;
  /** It was only too slow: a busy host may be the cause. */
  readonly late: boolean;
}

/**
 * Waits until the kernel has spoken and the VMM has ended; one that does not is ended.
 *
 * @param vmm its stdout is the guest's console, and a pipe to us
 * @returns undefined where it did, else why not
 */
export async function testBoot(vmm: VmmProcess, deadlineMs = TEST_BOOT_MS): Promise<BootFailure | undefined> {
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void vmm.kill();
  }, deadlineMs);
  try {
    const end = await vmm.ended;
    const spoke = (await vmm.untilSilent()).includes("Linux version");
    if (late) {
      const why = spoke ? "the guest did not end in time" : `no word from the guest in ${deadlineMs} ms`;
      return { why, late };
    }
    if (spoke) return undefined;
    const words = vmm.stderrTail().split("\n")[0];
    return { why: words || `ended with ${describeEnd(end)} before the kernel spoke`, late };
  } finally {
    clearTimeout(timer);
    vmm.release();
  }
}

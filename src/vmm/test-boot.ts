// One bare boot of a kernel with a deadline: the proof that a VMM can run guests on this host.

import { spawn } from "node:child_process";
import { planEnvironment } from "./privileges.js";

/** A working KVM needs about a second, a useless one prints nothing for minutes. */
export const TEST_BOOT_MS = 10_000;

const MAX_OUTPUT = 64 * 1024;

/** Why a test boot did not succeed. */
export interface BootFailure {
  readonly why: string;
  /** It was only too slow: a busy host may be the cause. */
  readonly late: boolean;
}

/**
 * Runs a VMM whose stdout is the guest's console, until the kernel has spoken and the process has ended.
 *
 * @returns undefined where it did, else why not
 */
export function testBoot(
  argv: readonly string[],
  deadlineMs = TEST_BOOT_MS,
): Promise<BootFailure | undefined> {
  return new Promise((resolve) => {
    const [program = "", ...args] = argv;
    const child = spawn(program, args, { env: planEnvironment(), stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let errors = "";
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, deadlineMs);
    child.stdout.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString("latin1")).slice(0, MAX_OUTPUT);
    });
    child.stderr.on("data", (chunk: Buffer) => {
      errors = (errors + chunk.toString("latin1")).slice(-1000);
    });
    const finish = (why: string | undefined) => {
      clearTimeout(timer);
      resolve(why === undefined ? undefined : { why, late });
    };
    child.once("error", (error) => finish(error.message));
    child.once("close", (code, signal) => {
      const spoke = output.includes("Linux version");
      if (late)
        finish(spoke ? "the guest did not end in time" : `no word from the guest in ${deadlineMs} ms`);
      else if (!spoke)
        finish(errors.trim().split("\n")[0] || `ended with ${signal ?? code} before the kernel spoke`);
      else finish(undefined);
    });
  });
}

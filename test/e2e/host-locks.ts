// What a process of the host finds locked.

import assert from "node:assert/strict";
import { run } from "./harness.js";

/** Of the files in a directory those that a process of the host can't lock. */
export async function lockedByOthers(directory: string): Promise<string[]> {
  const program = `
import fcntl, os, sys
for name in os.listdir(sys.argv[1]):
    with open(os.path.join(sys.argv[1], name), "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(name)
`;
  const { stdout, stderr } = await run(["python3", "-c", program, directory]);
  assert.equal(stderr, "");
  return stdout.split("\n").filter((name) => name !== "");
}

// Named networks with guests of Firecracker, which opens taps by their names: the same cases, by the stand-in, which has QEMU's
// virtio cards on taps that it opens so.

import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe } from "node:test";
import { installStandin, standinFiles } from "../firecracker-standin/install.js";
import { guestsOnNetworks } from "./network-guests.js";

const isRoot = process.getuid?.() === 0;
const skip = !isRoot && "it takes root to make hosts for tests";

for (const isUser of [false, true])
  describe(`VMs of Firecracker on networks of ${isUser ? "an ordinary user" : "root"}`, { skip }, () => {
    let directory = "";
    after(() => rm(directory, { recursive: true, force: true }));

    guestsOnNetworks({
      isUser,
      daemonArgs: async () => {
        directory = await mkdtemp(join(tmpdir(), "kf-"));
        // VMs with a user of their own run the stand-in too.
        await chmod(directory, 0o755);
        const program = await installStandin(directory);
        const files = await standinFiles(directory);
        return [
          ...["--vmm=firecracker", `--firecracker=${program}`, "--trust-firecracker=yes"],
          `--firecracker-files=${files.join(":")}`,
        ];
      },
    });
  });

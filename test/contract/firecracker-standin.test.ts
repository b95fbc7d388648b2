// The stand-in is as strict as the real Firecracker, by the same tests.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createFirecrackerDriver } from "../../src/vmm/index.js";
import { installStandin, standinFiles } from "../firecracker-standin/install.js";
import { defaultKernel } from "../fixtures/assets.js";
import { answersContract } from "./firecracker-answers.js";
import { exitsContract } from "./firecracker-exits.js";
import { tellsWhyItDoesNotStart } from "./firecracker-start.js";
import { VmmBench } from "./vmm-bench.js";

let directory: string;
let firecracker: string;
let firecrackerFiles: string[];
let kernel: string;
before(async () => {
  kernel = (await defaultKernel()).vmlinux;
  directory = await mkdtemp(join(tmpdir(), "kf-"));
  firecracker = await installStandin(directory);
  firecrackerFiles = await standinFiles(directory);
});
after(() => rm(directory, { recursive: true, force: true }));

describe("the stand-in for Firecracker", () => {
  it("tells why it does not start, and not where its API is asked meanwhile", async () => {
    const makeDriver = (cacheDirectory: string) =>
      createFirecrackerDriver({ cacheDirectory, firecracker, firecrackerFiles, trustFirecracker: true });
    await using bench = await VmmBench.open(makeDriver, async (root) => {
      const initrd = join(root, "initrd");
      await writeFile(initrd, "no kernel\n");
      return { kernel: initrd, initrd };
    });
    await tellsWhyItDoesNotStart(bench);
  });

  // It is the set-up's kernel that starts, and nobody waits for more of it.
  answersContract(() => ({ program: firecracker, isStandin: true, kernel }));
  exitsContract(() => firecracker);
});

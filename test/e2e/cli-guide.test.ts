// The guide's commands, run as they stand: every `sh` block of a page, in order, in one shell. Those about volumes and shared
// directories: cli-guide-mounts. About named networks: cli-guide-networks.

import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runPage } from "./guide-page.js";
import { installKiln, TestKiln } from "./harness.js";

const PAGES = [
  "getting-started",
  "images",
  "kernels",
  "networking",
  "files-and-logs",
  // Of root in a host of its own: cli-guide-networks.
  ...(process.getuid?.() === 0 ? [] : ["networks"]),
  "containers",
  "sdk",
  "troubleshooting",
] as const;

let kiln: TestKiln;
let bin = "";
before(async () => {
  kiln = await TestKiln.start();
  bin = join(kiln.root, "bin");
  await installKiln(bin);
});
after(() => kiln.dispose());

describe("docs/guide", () => {
  for (const page of PAGES) {
    it(`${page}.md does what it says`, () => runPage(kiln, page, bin));
  }
});

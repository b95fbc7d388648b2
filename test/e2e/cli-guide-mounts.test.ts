// The guide's pages about volumes and shared directories: every block of commands runs, and what their troubleshooting shows is
// what kiln says.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CHECKOUT } from "../fixtures/assets.js";
import { listTree } from "../fixtures/list-tree.js";
import { blocksOf, runPage } from "./guide-page.js";
import { installKiln, TestKiln } from "./harness.js";

const PAGES = ["volumes", "shares"] as const;

let kiln: TestKiln;
let bin = "";
before(async () => {
  // Debian's has no 9p: that is one of the failures that are shown.
  kiln = await TestKiln.start({ kernel: "kiln", moreKernels: ["debian"] });
  bin = join(kiln.root, "bin");
  await installKiln(bin);
});
after(() => kiln.dispose());

describe("docs/guide", () => {
  for (const page of PAGES) {
    it(`${page}.md has no commands that are not run, and shows five failures at least`, async () => {
      const blocks = await blocksOf(page);
      const languages = new Set(blocks.map(({ language }) => language));
      assert.deepEqual([...languages].sort(), ["sh", "text"]);
      const failures = blocks.filter(({ words }) => words.includes("fails"));
      assert.ok(failures.length >= 5, `${failures.length}`);
    });

    it(`${page}.md names reasons in its table that kiln has`, async () => {
      const text = await readFile(join(CHECKOUT, "docs/guide", `${page}.md`), "utf8");
      const cells = text.split("\n").flatMap((line) => /^\| (.*?) \|/.exec(line)?.[1] ?? []);
      const reasons = cells.flatMap((cell) =>
        [...cell.matchAll(/`([a-z]+(?:-[a-z]+)+)`/g)].map(([, word]) => word),
      );
      assert.ok(reasons.length > 0);
      const sources = (await listTree(join(CHECKOUT, "src"))).filter((path) => /(?<!\.test)\.ts$/.test(path));
      const code = await Promise.all(sources.map((path) => readFile(join(CHECKOUT, "src", path), "utf8")));
      for (const reason of reasons)
        assert.ok(
          code.some((file) => file.includes(`"${reason}"`)),
          reason,
        );
    });

    it(`${page}.md does what it says`, () => runPage(kiln, page, bin));
  }
});

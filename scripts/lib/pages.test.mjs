// That our pages don't send their readers to what is not there.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { brokenLinks, missingTests, namedTests } from "./pages.mjs";
import { ROOT } from "./paths.mjs";
import { listFiles } from "./stamps.mjs";

const PLACES = ["agent/guest", "bench", "docs", "kernel", "packaging", "test"];
const IN_ROOT = readdirSync(ROOT).filter((name) => name.endsWith(".md"));
const PAGES = [...IN_ROOT, ...listFiles(PLACES, (path) => path.endsWith(".md"))];
const read = (path) => (existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), "utf8") : undefined);

describe("our pages", () => {
  it("have no link that leads to nothing", () => {
    const broken = PAGES.flatMap((page) =>
      brokenLinks(page, read(page), (path) => existsSync(join(ROOT, path))).map((link) => `${page}: ${link}`),
    );
    assert.ok(PAGES.length > 30);
    assert.deepEqual(broken, []);
  });

  it("name tests that there are", () => {
    const named = namedTests(read("SECURITY.md"));
    assert.ok(named.length > 50);
    assert.deepEqual(missingTests(named, read), []);
  });
});

describe("the check of pages", () => {
  it("finds a link to nothing, and leaves the web, anchors and code alone", () => {
    const text =
      "[a](b.md) [c](../d.md#e) [f](https://g) [h](#i) `[j](k.md)`\n```\n[l](m.md)\n```\n[n](../o)";
    const asked = [];
    const broken = brokenLinks("docs/page.md", text, (path) => asked.push(path) === 2);
    assert.deepEqual(asked, ["docs/b.md", "d.md", "o"]);
    assert.deepEqual(broken, ["b.md", "../o"]);
  });

  it("finds a test that is gone or called otherwise, one with a variable in its name too", () => {
    const text = '`src/a.test.ts`: "holds", "bends"; `b.rs`: "holds", "breaks"; `c.ts`: "leads out"';
    const files = {
      "src/a.test.ts": 'it("holds", () => {}); it("bends too", () => {});',
      "b.rs": "#[test]\nfn holds() {}",
      "c.ts": `it(\`leads out, in place of \${driver}\`, () => {});`,
    };
    const missing = missingTests(namedTests(text), (file) => files[file]);
    assert.deepEqual(missing, [
      { file: "src/a.test.ts", name: "bends" },
      { file: "b.rs", name: "breaks" },
    ]);
  });
});

// The guide's commands, run as they stand: every `sh` block of a page, in order, in one shell.

import assert from "node:assert/strict";
import { mkdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CHECKOUT, debianLayout, debianLayoutDirectory } from "../fixtures/assets.js";
import { freePort } from "../fixtures/free-port.js";
import { installKiln, run, TestKiln } from "./harness.js";

const PAGES = [
  "getting-started",
  "images",
  "kernels",
  "networking",
  "files-and-logs",
  "volumes",
  "networks",
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

/** The names that the guide uses, given to the images that set-up has made. */
async function nameImages(): Promise<void> {
  for (const [image, name] of [
    ["debian", "debian:bookworm"],
    ["nginx", "nginx"],
    ["containers", "containers:bookworm"],
  ] as const) {
    const pulled = (await kiln.ok(["pull", "-q", debianLayout(image)])).trim();
    await kiln.ok(["image", "tag", pulled, name]);
  }
}

async function blocksOf(page: string): Promise<string> {
  const text = await readFile(join(CHECKOUT, "docs/guide", `${page}.md`), "utf8");
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]).join("\n");
}

describe("docs/guide", () => {
  for (const page of PAGES) {
    it(`${page}.md does what it says`, async () => {
      await nameImages();
      const directory = join(kiln.root, page);
      await mkdir(join(directory, "images"), { recursive: true });
      await symlink(debianLayoutDirectory("debian"), join(directory, "images/debian"));
      // A port that others on this machine may use is not the guide's point.
      const script = (await blocksOf(page)).replaceAll("8080", String(await freePort()));
      assert.notEqual(script.trim(), "");
      const result = await run(["bash", "-eux", "-c", script], {
        cwd: directory,
        env: { ...kiln.env, PATH: `${bin}:${process.env.PATH}`, KILN_SOCKET: kiln.socket },
        timeoutMs: 600_000,
      });
      assert.equal(result.code, 0, `${result.stdout}\n${result.stderr}`);
      await kiln.untilNoVm();
    });
  }
});

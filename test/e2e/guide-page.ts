// A page of the guide as a test: its commands run as they stand, in order, in one shell; what is to fail fails, with the text
// that the page shows.

import assert from "node:assert/strict";
import { mkdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { CHECKOUT, debianLayout, debianLayoutDirectory } from "../fixtures/assets.js";
import { freePort } from "../fixtures/free-port.js";
import { run, type TestKiln } from "./harness.js";

/** One fence of a page. "sh": commands; "sh root": for a kilnd of root alone; "sh fails": the last of them fails. */
interface Block {
  readonly language: string;
  readonly words: readonly string[];
  readonly text: string;
}

export async function blocksOf(page: string): Promise<Block[]> {
  const text = await readFile(join(CHECKOUT, "docs/guide", `${page}.md`), "utf8");
  return [...text.matchAll(/^```(\S*)([^\n]*)\n([\s\S]*?)^```$/gm)].map(
    ([, language = "", words = "", body = ""]) => ({
      language,
      words: words.trim().split(/\s+/),
      text: body,
    }),
  );
}

/** The names that the guide uses, given to the images that set-up has made. */
async function nameImages(kiln: TestKiln): Promise<void> {
  for (const [image, name] of [
    ["debian", "debian:bookworm"],
    ["nginx", "nginx"],
    ["containers", "containers:bookworm"],
  ] as const) {
    const pulled = (await kiln.ok(["pull", "-q", debianLayout(image)])).trim();
    await kiln.ok(["image", "tag", pulled, name]);
  }
}

interface Failing {
  readonly block: Block;
  /** Of the errors, in the page's directory. */
  readonly file: string;
  /** As the page shows it. */
  readonly shown: string;
}

/** @param bin where `kiln` is */
export async function runPage(kiln: TestKiln, page: string, bin: string): Promise<void> {
  await nameImages(kiln);
  const directory = join(kiln.root, page);
  await mkdir(join(directory, "images"), { recursive: true });
  await symlink(debianLayoutDirectory("debian"), join(directory, "images/debian"));
  const { script, failing } = plan(await blocksOf(page), process.getuid?.() === 0);
  assert.notEqual(script.trim(), "");
  // A port that others on this machine may use is not the guide's point.
  const result = await run(["bash", "-eux", "-c", script.replaceAll("8080", String(await freePort()))], {
    cwd: directory,
    env: { ...kiln.env, PATH: `${bin}:${process.env.PATH}`, KILN_SOCKET: kiln.socket },
    timeoutMs: 600_000,
  });
  assert.equal(result.code, 0, `${result.stdout}\n${result.stderr}`);
  for (const { block, file, shown } of failing) {
    const said = await readFile(join(directory, file), "utf8");
    assert.match(said, asPattern(shown), `${block.text}says:\n${said}`);
  }
  await kiln.untilNoVm();
}

/** Pure. */
function plan(blocks: readonly Block[], isRoot: boolean): { script: string; failing: Failing[] } {
  const failing: Failing[] = [];
  const parts: string[] = [];
  for (const [index, block] of blocks.entries()) {
    if (block.language !== "sh" || (block.words.includes("root") && !isRoot)) continue;
    if (!block.words.includes("fails")) {
      parts.push(block.text);
      continue;
    }
    const shown = blocks[index + 1];
    assert.equal(shown?.language, "text", `what it says stands behind it: ${block.text}`);
    const file = `fails-${index}.txt`;
    failing.push({ block, file, shown: shown?.text ?? "" });
    // Not as a condition: bash knows no -e in one.
    parts.push(`set +e; (set +x -e; ${block.text}) 2> ${file}; failed=$?; set -e; [ $failed != 0 ]\n`);
  }
  return { script: parts.join("\n"), failing };
}

/** "..." stands for whatever differs. */
function asPattern(shown: string): RegExp {
  const parts = shown.trimEnd().split("...");
  return new RegExp(`^${parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`, "m");
}

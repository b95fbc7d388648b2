import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findTarget } from "./copy-target.js";
import { hasReason } from "./errors.js";

const DIRECTORY = 0o040755;
const LINK = 0o120777;

/** What is there: a mode, or what a link names. */
const guest = (tree: Readonly<Record<string, number | string>>) => async (path: string) => {
  const found = tree[path];
  if (found === undefined) return undefined;
  const isLink = typeof found === "string";
  return { mode: isLink ? LINK : found, linkTargetBytes: Buffer.from(isLink ? found : "") };
};

describe("findTarget", () => {
  for (const [path, tree, kind, at] of [
    ["/srv", { "/srv": DIRECTORY }, "directory", "/srv"],
    ["/srv/../etc/f", { "/etc/f": 0o100644 }, "file", "/etc/f"],
    ["/dev/null", { "/dev/null": 0o020666 }, "device", "/dev/null"],
    ["/new", {}, "missing", "/new"],
    ["/a", { "/a": "/b", "/b": "c", "/c": DIRECTORY }, "directory", "/c"],
    ["/d/link", { "/d/link": "../x" }, "missing", "/d/../x"],
  ] as const) {
    it(`finds at ${path} a ${kind}`, async () => {
      assert.deepEqual(await findTarget(path, guest(tree)), { path: at, kind });
    });
  }

  it("does not go on for ever", async () => {
    await assert.rejects(findTarget("/a", guest({ "/a": "/a" })), (error) => hasReason(error, "link-loop"));
    const long = guest({ "/a": `/${"x".repeat(5000)}` });
    await assert.rejects(findTarget("/a", long), (error) => hasReason(error, "link-loop"));
  });

  it("puts no contents where nothing is", async () => {
    await assert.rejects(findTarget("/new/.", guest({})), (error) => hasReason(error, "no-such-directory"));
  });
});

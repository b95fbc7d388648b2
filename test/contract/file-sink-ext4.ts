// Reads ext4 images back with e2fsprogs, which shares nothing with the writer: e2fsck says whether it is whole, debugfs
// what is in it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FoundInode, FoundTree } from "./file-sink-tree.js";

/** An ordinary user's PATH lacks the place where e2fsprogs lies. */
const ENV = { ...process.env, LC_ALL: "C", TZ: "UTC", PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const OUTPUT_LIMIT = 2 ** 30;

const TYPES: Readonly<Record<string, FoundInode["type"]>> = {
  regular: "file",
  directory: "directory",
  symlink: "symlink",
  "character special": "char",
  "block special": "block",
  FIFO: "fifo",
  socket: "socket",
};

/** false where the programs are there, else what to print when skipping. */
export function ext4ToolsMissing(): string | false {
  const missing = ["e2fsck", "debugfs", "dumpe2fs"].filter(
    (name) => spawnSync(name, ["-V"], { env: ENV }).error !== undefined,
  );
  return missing.length === 0 ? false : `${missing.join(" and ")} not found: install e2fsprogs`;
}

/** Fails unless `e2fsck -fn` finds nothing at all to say. */
export function assertClean(path: string): void {
  const { status, stdout, stderr } = spawnSync("e2fsck", ["-fn", path], { env: ENV, encoding: "utf8" });
  assert.equal(status, 0, `e2fsck -fn: ${stdout}${stderr}`);
  // Some remarks (an extent tree that could be narrower) leave the status 0.
  const remarks = stdout.split("\n").filter((line) => line !== "" && !/^Pass \d|blocks$/.test(line));
  assert.deepEqual(remarks, []);
}

/** What dumpe2fs says of superblock and groups. */
export function dumpe2fs(path: string): string {
  const { status, stdout, stderr } = spawnSync("dumpe2fs", [path], {
    env: ENV,
    encoding: "utf8",
    maxBuffer: OUTPUT_LIMIT,
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** Runs debugfs commands on an image; one answer each. */
export function debugfs(path: string, commands: readonly string[]): string[] {
  const { stdout, status, error } = spawnSync("debugfs", ["-f", "-", path], {
    env: ENV,
    input: commands.map((command) => `${command}\n`).join(""),
    encoding: "latin1",
    maxBuffer: OUTPUT_LIMIT,
  });
  assert.equal(error, undefined);
  assert.equal(status, 0);
  // Each command is echoed before its answer; the echo may be the first thing on the output.
  const answers = `\n${stdout}`.split(/\ndebugfs: /).slice(1);
  assert.equal(answers.length, commands.length);
  return answers.map((answer) => answer.slice(answer.indexOf("\n") + 1));
}

/** Everything in the image below its root. */
export function readExt4(path: string): FoundTree {
  const paths = listPaths(path);
  const numbers = [...new Set(paths.values())];
  const inodes = new Map<number, FoundInode>();
  debugfs(
    path,
    numbers.map((number) => `stat <${number}>`),
  ).forEach((text, index) => {
    const number = numbers[index] ?? 0;
    inodes.set(number, parseStat(number, text));
  });
  const complete = addXattrs(path, addContents(path, inodes));
  return new Map([...paths].map(([name, number]) => [name, complete.get(number) ?? assert.fail(name)]));
}

function listPaths(image: string): Map<string, number> {
  const found = new Map<string, number>();
  let level: [string, number][] = [["", 2]];
  while (level.length > 0) {
    const listings = debugfs(
      image,
      level.map(([, number]) => `ls -p <${number}>`),
    );
    const next: [string, number][] = [];
    listings.forEach((text, index) => {
      const prefix = level[index]?.[0] ?? "";
      for (const match of text.matchAll(/^\/(\d+)\/(\d+)\/-?\d+\/-?\d+\/([^/]+)\/\d*\/$/gm)) {
        const [, number, mode, name] = match;
        if (name === "." || name === "..") continue;
        const path = prefix === "" ? String(name) : `${prefix}/${name}`;
        found.set(path, Number(number));
        if (mode?.startsWith("04")) next.push([path, Number(number)]);
      }
    });
    level = next;
  }
  return found;
}

function parseStat(id: number, text: string): FoundInode {
  const field = (pattern: RegExp) => pattern.exec(text)?.[1] ?? assert.fail(`${pattern} in ${text}`);
  const type = TYPES[field(/Type: (.+?) {2,}Mode/)] ?? assert.fail(text);
  const device = /major\/minor number: (\d+):(\d+)/.exec(text);
  const target = /^Fast link dest: "(.*)"$/ms.exec(text)?.[1];
  return {
    id,
    type,
    mode: Number.parseInt(field(/Mode: +0?([0-7]+)/), 8),
    uid: Number(field(/User: +(-?\d+)/)) >>> 0,
    gid: Number(field(/Group: +(-?\d+)/)) >>> 0,
    size: Number(field(/Size: (\d+)/)),
    links: Number(field(/Links: (\d+)/)),
    mtimeNs: parseTime(field(/^ mtime: (0x[0-9a-f]+:[0-9a-f]+)/m)),
    xattrs: new Map(),
    ...(target === undefined ? {} : { target }),
    ...(device === null ? {} : { device: [Number(device[1]), Number(device[2])] as const }),
  };
}

function parseTime(text: string): bigint {
  const [seconds = "0", extra = "0"] = text.split(":");
  const extraBits = BigInt(`0x${extra}`);
  return (
    (BigInt.asIntN(32, BigInt(seconds)) + ((extraBits & 3n) << 32n)) * 1_000_000_000n + (extraBits >> 2n)
  );
}

/** Contents of files, and targets of long symlinks, which debugfs does not print. */
function addContents(image: string, inodes: ReadonlyMap<number, FoundInode>): Map<number, FoundInode> {
  const scratch = mkdtempSync(join(tmpdir(), "kiln-dump-"));
  try {
    const wanted = [...inodes.values()].filter(
      ({ type, target }) => type === "file" || (type === "symlink" && target === undefined),
    );
    debugfs(
      image,
      wanted.map(({ id }) => `dump <${id}> ${scratch}/${id}`),
    );
    const complete = new Map(inodes);
    for (const inode of wanted) {
      const content = readFileSync(join(scratch, String(inode.id)));
      complete.set(
        inode.id,
        inode.type === "file" ? { ...inode, content } : { ...inode, target: content.toString("latin1") },
      );
    }
    return complete;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function addXattrs(image: string, inodes: ReadonlyMap<number, FoundInode>): Map<number, FoundInode> {
  const numbers = [...inodes.keys()];
  const lists = debugfs(
    image,
    numbers.map((number) => `ea_list <${number}>`),
  );
  const wanted = lists.flatMap((text, index) =>
    [...text.matchAll(/^ {2}(\S+) \(\d+\)/gm)].map((match) => ({
      number: numbers[index] ?? 0,
      name: match[1] ?? "",
    })),
  );
  const values = debugfs(
    image,
    wanted.map(({ number, name }) => `ea_get -x <${number}> ${name}`),
  );
  const complete = new Map(inodes);
  wanted.forEach(({ number, name }, index) => {
    const inode = complete.get(number) ?? assert.fail();
    const hex = / = ([0-9a-f ]*)$/m.exec(values[index] ?? "")?.[1] ?? "";
    const value = Buffer.from(hex.replaceAll(" ", ""), "hex");
    complete.set(number, { ...inode, xattrs: new Map([...inode.xattrs, [name, value]]) });
  });
  return complete;
}

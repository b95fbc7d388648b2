// How a Firecracker ends that does not run a VM, as a table of command lines: asked of the real one where there is one,
// and of the stand-in.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";

interface Start {
  readonly what: string;
  readonly words: readonly string[];
  /** The configuration file's text; absent: there is no such file. */
  readonly config?: string;
  /** Exit code or signal. */
  readonly ends: number | "SIGABRT";
}

/** Relative to the process's directory. */
const FILE = ["--no-api", "--config-file", "config.json"];
const DRIVES = '"drives": []';

const STARTS: readonly Start[] = [
  { what: "a file that is no JSON", words: FILE, config: "{", ends: 1 },
  { what: "a section of the wrong kind", words: FILE, config: `{"boot-source": 7, ${DRIVES}}`, ends: 1 },
  {
    what: "a kernel that is not there",
    words: FILE,
    config: `{"boot-source": {"kernel_image_path": "/nonexistent"}, ${DRIVES}}`,
    ends: 1,
  },
  { what: "a file that can't be read", words: FILE, ends: "SIGABRT" },
  { what: "an id that is none", words: ["--id", "a_b", ...FILE], config: "{}", ends: "SIGABRT" },
  { what: "a bogus level", words: ["--level", "bogus", ...FILE], config: "{}", ends: 152 },
  { what: "an argument that it does not know", words: ["--bogus"], ends: 153 },
  { what: "--help", words: ["--help"], ends: 0 },
  { what: "words after --", words: ["--version", "--", "foo"], ends: 0 },
];

/** @param program asked once a test runs */
export function exitsContract(program: () => string): void {
  for (const start of STARTS) {
    it(`ends with ${start.ends} at ${start.what}`, async () => {
      const directory = await mkdtemp(join(tmpdir(), "kfe-"));
      try {
        if (start.config !== undefined) await writeFile(join(directory, "config.json"), start.config);
        const child = spawn(program(), start.words, { stdio: "ignore", cwd: directory });
        const [code, signal] = await once(child, "exit");
        assert.equal(code ?? signal, start.ends);
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    });
  }
}

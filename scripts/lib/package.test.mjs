// What npm would pack, and that programs of either module kind can use it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ROOT } from "./paths.mjs";

let packed = [];
let directory = "";
before(() => {
  const listed = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: ROOT,
    maxBuffer: 64e6,
  });
  packed = JSON.parse(listed)[0].files.map(({ path }) => path);
  directory = mkdtempSync(join(tmpdir(), "kiln-package-"));
  mkdirSync(join(directory, "node_modules"));
  symlinkSync(ROOT, join(directory, "node_modules/kilnvm"));
  symlinkSync(join(ROOT, "node_modules/@types"), join(directory, "node_modules/@types"));
});
after(() => rmSync(directory, { recursive: true, force: true }));

describe("the package", () => {
  it("holds no tests", () => {
    assert.deepEqual(
      packed.filter((path) => /\.test\.|(^|\/)test\//.test(path)),
      [],
    );
  });

  it("has maps that bring their sources", () => {
    const maps = packed.filter((path) => path.endsWith(".js.map"));
    assert.ok(maps.length > 100);
    for (const path of maps) {
      const { sources, sourcesContent } = JSON.parse(readFileSync(join(ROOT, path), "utf8"));
      assert.equal(sourcesContent?.length, sources.length, path);
    }
  });

  it("holds every page that its README links to", () => {
    const links = [...readFileSync(join(ROOT, "README.md"), "utf8").matchAll(/\]\((?!https?:)([^)#]+)/g)];
    assert.ok(links.length > 5);
    for (const [, link] of links)
      assert.ok(
        packed.some((path) => path === link || path.startsWith(`${link}/`)),
        link,
      );
  });

  it("holds every file that its exports and commands name", () => {
    const { exports, bin } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const paths = JSON.stringify([exports, bin]).match(/dist\/[^"]+/g);
    for (const path of paths) assert.ok(packed.includes(path), path);
  });
});

describe("a program in TypeScript, module node16", () => {
  const source = `
    import { Kiln, KilnError, hasReason, type Vm, type VmOptions } from "kilnvm";
    const options: VmOptions = { memory: "512MiB" };
    export async function main(vm: Vm): Promise<string> {
      const kiln = await Kiln.connect();
      try {
        return (await vm.exec(["true"])).stdout.text + (await kiln.vms.list()).length + JSON.stringify(options);
      } catch (error) {
        if (hasReason(error, "timeout") && error instanceof KilnError) return error.codeName;
        throw error;
      }
    }`;

  for (const [kind, file] of [
    ["CommonJS", "program.cts"],
    ["ES modules", "program.mts"],
  ]) {
    it(`of ${kind} finds the SDK's types`, () => {
      writeFileSync(join(directory, file), source);
      const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
      const flags = [
        "--noEmit",
        "--strict",
        "--module",
        "node16",
        "--target",
        "es2022",
        "--lib",
        "es2023,esnext.disposable",
      ];
      // Without skipLibCheck: our own declarations are looked at as well.
      execFileSync(process.execPath, [tsc, ...flags, "--types", "node", file], {
        cwd: directory,
        stdio: "pipe",
      });
    });
  }

  it("of CommonJS loads it by require()", () => {
    const out = execFileSync(process.execPath, ["-p", 'typeof require("kilnvm").Kiln.connect'], {
      cwd: directory,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    assert.equal(out, "function\n");
  });
});

// The SDK in a bundle, as esbuild makes it of a program that imports the package by its name.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { CHECKOUT } from "../fixtures/assets.js";
import { FakeKilnd } from "../fixtures/fake-kilnd.js";
import { noNpmProgram, npmProgram } from "../fixtures/npm-program.js";

const ESBUILD = {
  name: "@esbuild/linux-x64",
  program: "bin/esbuild",
  version: "0.28.2",
  integrity: "4xTZr1FUmSoQW4XIWmit3tzQrUTZM+N3P0XV8xROKYF50XfI7xeO90+1bZvNwxIufQ9hDQVRJH5YhgPVF8A/HQ==",
};
/** Talks to a kilnd that runs, and says where it would look for one that does not. */
const APP = `
  import { Kiln, KilnError, hasReason } from "kilnvm";
  const kiln = await Kiln.connect({ host: process.argv[2] });
  const vm = await kiln.run("alpine:3.20", { network: "none" });
  const { stdout, exitCode } = await vm.exec(["echo", "from a bundle"]);
  await kiln.close();
  const none = await Kiln.connect().then(() => "found", (error) => error);
  console.log(JSON.stringify({
    text: stdout.text,
    exitCode,
    reason: none instanceof KilnError && hasReason(none, "daemon-not-found"),
  }));`;

const run = promisify(execFile);
let kilnd: FakeKilnd;
let directory = "";

describe("the SDK in a bundle", { skip: noNpmProgram }, () => {
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-bundled-"));
    kilnd = await FakeKilnd.start();
    await mkdir(join(directory, "src/node_modules"), { recursive: true });
    await symlink(CHECKOUT, join(directory, "src/node_modules/kilnvm"));
    await writeFile(join(directory, "src/app.mjs"), APP);
  });
  after(async () => {
    await kilnd?.close();
    await rm(directory, { recursive: true, force: true });
  });

  for (const minify of [false, true]) {
    it(`works without its package${minify ? ", with short names" : ""}`, async () => {
      const bundle = join(directory, `out/app-${minify}.mjs`);
      const how = ["--bundle", "--platform=node", "--format=esm", ...(minify ? ["--minify"] : [])];
      const made = await run(
        await npmProgram(ESBUILD),
        [join(directory, "src/app.mjs"), ...how, `--outfile=${bundle}`],
        { timeout: 60_000 },
      );
      assert.doesNotMatch(made.stderr, /warning|error/i);
      const { KILN_HOST: _, ...env } = process.env;
      const options = {
        cwd: directory,
        env: { ...env, KILN_ROOT: join(directory, "root") },
        timeout: 60_000,
      };
      const { stdout } = await run(process.execPath, [bundle, `unix://${kilnd.socket}`], options);
      assert.deepEqual(JSON.parse(stdout), { text: "from a bundle\n", exitCode: 0, reason: true });
    });
  }
});

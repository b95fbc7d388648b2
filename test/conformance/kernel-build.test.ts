// kiln's own kernel: the one that set-up has built with the real sources and compilers, and what becomes of a
// configuration that does not hold.

import assert from "node:assert/strict";
import { chmod, cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { KilnError } from "../../src/base/errors.js";
import { joinFragments, lostLines, parseFragment } from "../../src/kernel/build/fragment.js";
import { type BuiltKernel, createKernelBuilder, createKernelCatalogue } from "../../src/kernel/index.js";
import { KERNEL_FRAGMENTS, ownKernelBuild } from "../fixtures/assets.js";

const MAX_BYTES = 30_000_000;

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kiln-kernel-build-"));
  await chmod(scratch, 0o755); // root builds as another user
});
after(() => rm(scratch, { recursive: true, force: true }));

describe("kiln's own kernel, as it was built", () => {
  let built: BuiltKernel;
  let image: Buffer;
  before(async () => {
    built = await ownKernelBuild();
    image = await readFile(join(built.tree, "boot/vmlinux"));
  });

  it("has at most 30 MB and a PVH entry, and is imported without modules", async () => {
    assert.ok(image.length <= MAX_BYTES, `${image.length} bytes`);
    const catalogue = createKernelCatalogue({ dataRoot: join(scratch, "data") });
    await catalogue.open();
    const kernel = await catalogue.importTree(built.tree, {});
    assert.equal(kernel.id, built.image);
    assert.equal(kernel.pvh, true);
    assert.equal(kernel.modulesDirectory, undefined);
  });

  it("says nothing of who built it, where and when", () => {
    const banner = image.toString(
      "latin1",
      image.indexOf("Linux version "),
      image.indexOf("Linux version ") + 300,
    );
    const date = "[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} UTC [0-9]{4}";
    assert.match(banner, new RegExp(`^Linux version ${built.release} \\(kiln@kiln\\) .* #1 SMP ${date}\\n`));
    for (const path of ["/work/build.part-", "/linux-source-", "build.part-", process.cwd()]) {
      assert.equal(image.indexOf(path), -1, path);
    }
  });

  it("has every line of the fragments in its configuration, built in and as modules none", async () => {
    const config = await readFile(join(built.tree, "boot/config"), "utf8");
    const fragments = await Promise.all(
      ["common.config", "x86_64.config"].map(async (file) =>
        parseFragment(await readFile(join(KERNEL_FRAGMENTS, file), "utf8"), file),
      ),
    );
    assert.deepEqual(lostLines(joinFragments(fragments), config), []);
    assert.doesNotMatch(config, /^CONFIG_[A-Z0-9_]+=m$/m);
  });
});

describe("a configuration that does not hold", () => {
  it("fails before anything is compiled, names the lines and keeps the log", async () => {
    const fragments = join(scratch, "fragments");
    await cp(KERNEL_FRAGMENTS, fragments, { recursive: true });
    const file = join(fragments, "x86_64.config");
    const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
    // One that no kernel has, and one that another option of ours turns on.
    await writeFile(file, `${[...lines, "CONFIG_KILN_MAKES_THIS_UP=y", "CONFIG_NETLINK=n"].join("\n")}\n`);
    const { directory, version } = await builderPlaces();
    const builder = createKernelBuilder({ directory, fragments, workDirectory: join(scratch, "work") });
    await builder.open();
    const failure = await builder.check({ version }).then(
      () => assert.fail("the configuration was taken"),
      (error: unknown) => error,
    );
    assert.ok(failure instanceof KilnError, String(failure));
    assert.equal(failure.reason, "kernel-config-lost", failure.message);
    assert.match(failure.message, /^build Linux .*: [12] lines? of the configuration did not survive/);
    assert.match(
      failure.message,
      new RegExp(`x86_64.config:${lines.length + 1}: CONFIG_KILN_MAKES_THIS_UP=y`),
    );
    const log = failure.details.log ?? "";
    assert.match(await readFile(log, "utf8"), /olddefconfig/);
    assert.deepEqual(await readdir(join(scratch, "work")), []);
    await rm(log);
  });
});

/** Where set-up keeps the sources: fetched once. */
async function builderPlaces(): Promise<{ directory: string; version: string }> {
  const built = await ownKernelBuild();
  return { directory: join(built.tree, "../.."), version: built.source.version };
}

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { damageFile, OTHER_RELEASE } from "../../test/fixtures/damage.js";
import { writeAgent, writeKernel, writeModules } from "../../test/fixtures/kernel-files.js";
import { makeVmlinux, type VmlinuxOptions } from "../../test/fixtures/made-up-kernels.js";
import { holdInPlace, keepFiles } from "../../test/fixtures/patched-files.js";
import { hasReason } from "../base/errors.js";
import type { ProgressUpdate } from "../base/progress.js";
import { createKernelCatalogue } from "./catalogue.js";
import type { KernelCatalogue } from "./types.js";

let scratch: string;
let kernels: KernelCatalogue;

async function reopen(): Promise<void> {
  kernels = createKernelCatalogue({ dataRoot: join(scratch, "data") });
  await kernels.open();
}

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kiln-kernels-"));
  await reopen();
});
afterEach(() => rm(scratch, { recursive: true }));

const kernelFile = (name: string, options: VmlinuxOptions = {}) => writeKernel(scratch, name, options);
const modulesFor = (release: string) => writeModules(scratch, release);
const agentFile = (text: string) => writeAgent(scratch, text);

const kernelsDirectory = () => join(scratch, "data/kernels");
const withReason = (reason: string) => (error: unknown) => hasReason(error, reason);

describe("importing a kernel file", () => {
  it("keeps it under the hash of its vmlinux and the name of its release, readable by every VMM", async () => {
    const path = await kernelFile("a", { release: "5.10.51" });
    const kernel = await kernels.importFile(path, {});
    assert.match(kernel.id, /^[0-9a-f]{64}$/);
    assert.deepEqual([kernel.name, kernel.release, kernel.source], ["5.10.51", "5.10.51", path]);
    assert.deepEqual(await readFile(kernel.vmlinux), await readFile(path));
    assert.equal((await stat(kernel.vmlinux)).mode & 0o777, 0o644);
    assert.equal((await stat(join(kernel.vmlinux, ".."))).mode & 0o777, 0o755);
  });

  it("is there again after a restart", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), { name: "mine" });
    await reopen();
    assert.deepEqual(kernels.list(), [kernel]);
    assert.deepEqual(kernels.find("mine"), kernel);
    assert.deepEqual(kernels.find(kernel.id.slice(0, 8)), kernel);
  });

  it("twice gives one kernel", async () => {
    const path = await kernelFile("a");
    const first = await kernels.importFile(path, {});
    assert.deepEqual(await kernels.importFile(path, {}), first);
    assert.equal(kernels.list().length, 1);
  });

  it("again leaves what VMs boot of in its place", async () => {
    const path = await kernelFile("a");
    const kernel = await kernels.importFile(path, {});
    const initramfs = await kernels.initramfs(kernel, await agentFile("agent"));
    const before = await Promise.all([stat(join(kernel.vmlinux, "..")), stat(initramfs)]);
    const modulesDirectory = await modulesFor("6.1.0-test");
    const again = await kernels.importFile(path, { modulesDirectory });
    assert.ok((await readdir(again.modulesDirectory ?? "")).length > 0);
    const after = await Promise.all([stat(join(kernel.vmlinux, "..")), stat(initramfs)]);
    assert.deepEqual(
      after.map(({ ino }) => ino),
      before.map(({ ino }) => ino),
    );
  });

  it("again keeps what another release has put into its record, in its place or brought back", async () => {
    const [unknown] = OTHER_RELEASE;
    assert.ok(unknown);
    const path = await kernelFile("a");
    const { id } = await kernels.importFile(path, {});
    const record = join(kernelsDirectory(), id, "kernel.json");
    await damageFile(record, unknown, true);
    await reopen();
    for (const goes of [false, true]) {
      if (goes) await rm(join(kernelsDirectory(), id), { recursive: true });
      await kernels.importFile(path, { name: "again" });
      const { name, ofTomorrow } = JSON.parse(await readFile(record, "utf8"));
      assert.deepEqual([name, ofTomorrow], ["again", "kept"]);
    }
  });

  it("again after somebody removed its directory brings it back", async () => {
    const path = await kernelFile("a");
    const kernel = await kernels.importFile(path, {});
    await rm(join(kernel.vmlinux, ".."), { recursive: true });
    assert.deepEqual(await kernels.importFile(path, {}), kernel);
    await reopen();
    assert.deepEqual(kernels.list(), [kernel]);
  });

  it("many times at once gives one kernel", async () => {
    const path = await kernelFile("a");
    const all = await Promise.all(Array.from({ length: 8 }, () => kernels.importFile(path, {})));
    assert.equal(new Set(all.map(({ id }) => id)).size, 1);
    assert.deepEqual(await readdir(kernelsDirectory()), [all[0]?.id]);
  });

  it("again under another name renames it", async () => {
    const path = await kernelFile("a");
    const { id } = await kernels.importFile(path, {});
    await kernels.importFile(path, { name: "better" });
    assert.equal(kernels.find("better").id, id);
    assert.equal(kernels.list().length, 1);
  });

  it("tells two kernels of one release apart", async () => {
    await kernels.importFile(await kernelFile("a"), {});
    const second = await kernels.importFile(await kernelFile("b"), {});
    assert.equal(second.name, `6.1.0-test-${second.id.slice(0, 12)}`);
  });

  it("under a name that is taken is refused and leaves nothing", async () => {
    await kernels.importFile(await kernelFile("a"), { name: "mine" });
    await assert.rejects(
      kernels.importFile(await kernelFile("b"), { name: "mine" }),
      withReason("kernel-name-taken"),
    );
    assert.equal((await readdir(kernelsDirectory())).length, 1);
  });

  it("under a name that is none is refused", async () => {
    await assert.rejects(kernels.importFile(await kernelFile("a"), { name: "../x" }), withReason("bad-name"));
  });

  it("that is no kernel names the file and leaves nothing", async () => {
    const path = join(scratch, "notes.txt");
    await writeFile(path, "not a kernel at all");
    await assert.rejects(kernels.importFile(path, {}), (error) => {
      assert.ok(hasReason(error, "invalid-kernel"));
      assert.ok(String(error).includes(path));
      return true;
    });
    assert.deepEqual(await readdir(kernelsDirectory()), []);
  });

  it("that is a directory or missing says so", async () => {
    await assert.rejects(kernels.importFile(scratch, {}), /it is a directory/);
    await assert.rejects(kernels.importFile(join(scratch, "none"), {}), withReason("no-such-file"));
  });

  it("that is a damaged package says so", async () => {
    const path = join(scratch, "linux.deb");
    await writeFile(path, "!<arch>\ndebian-binary   0 and then garbage");
    await assert.rejects(kernels.importFile(path, {}), withReason("invalid-package"));
    assert.deepEqual(await readdir(kernelsDirectory()), []);
  });

  it("ends when it is cancelled and leaves nothing", async () => {
    const abort = new AbortController();
    const onProgress = (update: ProgressUpdate) => {
      if (update.status === "verifying") abort.abort();
    };
    const modulesDirectory = await modulesFor("6.1.0-test");
    const path = await kernelFile("a");
    await assert.rejects(
      kernels.importFile(path, { signal: abort.signal, onProgress, modulesDirectory }),
      withReason("cancelled"),
    );
    assert.deepEqual(await readdir(kernelsDirectory()), []);
  });
});

describe("a kernel with modules", () => {
  it("keeps them without the links that lead out of them", async () => {
    const modulesDirectory = await modulesFor("6.1.0-test");
    const kernel = await kernels.importFile(await kernelFile("a"), { modulesDirectory });
    assert.ok(kernel.modulesDirectory);
    const names = await readdir(kernel.modulesDirectory);
    assert.ok(names.includes("kernel"));
    assert.ok(!names.includes("build"));
  });

  it("of another release is refused", async () => {
    const modulesDirectory = await modulesFor("6.2.0-other");
    await assert.rejects(
      kernels.importFile(await kernelFile("a"), { modulesDirectory }),
      withReason("modules-mismatch"),
    );
  });

  it("gets them when it had none, and keeps them when it is imported without", async () => {
    const path = await kernelFile("a");
    const bare = await kernels.importFile(path, {});
    assert.equal(bare.modulesDirectory, undefined);
    const full = await kernels.importFile(path, { modulesDirectory: await modulesFor("6.1.0-test") });
    assert.ok(full.modulesDirectory);
    assert.equal((await kernels.importFile(path, {})).modulesDirectory, full.modulesDirectory);
  });

  it("is found in a tree as Ignite's images have it", async () => {
    const root = join(scratch, "tree");
    await mkdir(join(root, "boot"), { recursive: true });
    await writeFile(join(root, "boot/vmlinux-5.10.51"), makeVmlinux({ release: "5.10.51" }));
    await symlink("/boot/vmlinux-5.10.51", join(root, "boot/vmlinux"));
    await mkdir(join(root, "lib/modules/5.10.51/kernel"), { recursive: true });
    const kernel = await kernels.importTree(root, { name: "ignite" });
    assert.equal(kernel.release, "5.10.51");
    assert.ok(kernel.modulesDirectory);
  });
});

describe("a kernel that kiln has built", () => {
  const own = { source: "linux-source-6.1 6.1.192-2", configuration: "c".repeat(64) };
  async function treeOf(salt: string): Promise<string> {
    const root = join(scratch, salt);
    await mkdir(join(root, "boot"), { recursive: true });
    await writeFile(join(root, "boot/vmlinux"), makeVmlinux({ release: "6.1.192-kiln", salt }));
    return root;
  }

  it("keeps what it was made of and where it came from, also when the file is imported again", async () => {
    const root = await treeOf("a");
    const kernel = await kernels.importTree(root, { own, source: "localhost/kiln-kernel:6.1.192" });
    await kernels.importFile(join(root, "boot/vmlinux"), {});
    await reopen();
    assert.deepEqual(kernels.find("kiln"), kernel);
    assert.deepEqual([kernel.own, kernel.source], [own, "localhost/kiln-kernel:6.1.192"]);
  });

  it("is the default before the first import, the one built last before others", async () => {
    await kernels.importFile(await kernelFile("plain"), {});
    const [first, second] = [await treeOf("a"), await treeOf("b")];
    const built = await kernels.importTree(first, { own });
    await kernels.importTree(second, { own });
    await kernels.importTree(first, { own });
    assert.equal(kernels.default()?.kernel.id, built.id);
  });
});

describe("the default kernel", () => {
  it("is none where there is no kernel", () => {
    assert.equal(kernels.default(), undefined);
  });

  it("is the first import, until another is set", async () => {
    const first = await kernels.importFile(await kernelFile("a"), {});
    const second = await kernels.importFile(await kernelFile("b"), { name: "second" });
    assert.equal(kernels.default()?.kernel.id, first.id);
    await kernels.setDefault("second");
    await reopen();
    assert.deepEqual(kernels.default(), { kernel: second, why: "set as the default" });
  });

  it("is set anew without a loss of what another release has written beside it", async () => {
    const [unknown] = OTHER_RELEASE;
    assert.ok(unknown);
    const first = await kernels.importFile(await kernelFile("a"), {});
    const second = await kernels.importFile(await kernelFile("b"), {});
    await kernels.setDefault(second.id);
    const file = join(kernelsDirectory(), "default.json");
    await damageFile(file, unknown, true);
    await reopen();
    await kernels.setDefault(first.id);
    assert.deepEqual(JSON.parse(await readFile(file, "utf8")), {
      version: 1,
      id: first.id,
      ofTomorrow: "kept",
    });
    // As every release before has written it.
    for (const each of [file, `${file}.bak`]) await writeFile(each, JSON.stringify({ id: second.id }));
    await reopen();
    assert.equal(kernels.default()?.kernel.id, second.id);
  });

  it("is chosen anew when it is removed", async () => {
    const first = await kernels.importFile(await kernelFile("a"), {});
    const second = await kernels.importFile(await kernelFile("b"), {});
    await kernels.setDefault(second.id);
    await kernels.remove(second.id);
    assert.equal(kernels.default()?.kernel.id, first.id);
  });
});

describe("removing a kernel", () => {
  it("removes all its files", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {
      modulesDirectory: await modulesFor("6.1.0-test"),
    });
    await kernels.remove(kernel.name);
    assert.deepEqual(kernels.list(), []);
    assert.deepEqual(await readdir(kernelsDirectory()), []);
  });

  it("whose directory can't be moved away leaves it as it was, and it can be removed later", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {});
    await kernels.setDefault(kernel.id);
    using _ = holdInPlace((path) => path.endsWith(kernel.id));
    await assert.rejects(kernels.remove(kernel.id), { code: "EROFS" });
    _[Symbol.dispose]();
    assert.deepEqual([kernels.list(), kernels.default()?.kernel.id], [[kernel], kernel.id]);
    assert.deepEqual(await kernels.strays(), []);
    await kernels.remove(kernel.id);
    assert.deepEqual([kernels.list(), await readdir(kernelsDirectory())], [[], []]);
  });

  it("some of whose files can't be removed leaves a stray, which is cleared later", async () => {
    const kernel = await kernels.importFile(await kernelFile("a"), {});
    using _ = keepFiles((path) => path.includes(".removing-"));
    await assert.rejects(kernels.remove(kernel.id), { code: "EPERM" });
    _[Symbol.dispose]();
    assert.deepEqual(kernels.list(), []);
    assert.deepEqual(await kernels.strays(), [join(kernelsDirectory(), `.removing-${kernel.id}`)]);
    assert.ok((await kernels.clearLeftovers()) > 0);
    assert.deepEqual(await readdir(kernelsDirectory()), []);
  });

  it("that is not there is refused", async () => {
    await assert.rejects(kernels.remove("nothing"), withReason("kernel-not-found"));
  });
});

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { hasReason } from "../base/errors.js";
import { Kiln } from "./kiln.js";

let kilnd: FakeKilnd;
let kiln: Kiln;

before(async () => {
  kilnd = await FakeKilnd.start();
  kiln = await Kiln.connect({ host: kilnd.host });
});

beforeEach(() => {
  kilnd.vms.clear();
  kilnd.calls.length = 0;
});

after(async () => {
  await kiln.close();
  await kilnd.close();
});

describe("vm.fs", () => {
  it("writes and reads files", async () => {
    kilnd.add("web");
    const vm = await kiln.vms.get("web");
    await vm.fs.write("/srv/hello.txt", "hi");
    const archive = kilnd.archives.get("/srv");
    assert.ok(archive);
    kilnd.files.set("/srv/hello.txt", { mode: 0o100644, archive });
    assert.equal(await vm.fs.readText("/srv/hello.txt"), "hi");
    await assert.rejects(vm.fs.read("/srv/hello.txt", { maxBytes: 1 }), (error) =>
      hasReason(error, "file-too-large"),
    );
    await assert.rejects(vm.fs.read("/none"), (error) => hasReason(error, "no-such-path"));
  });

  it("writes no file without a name of its own", async () => {
    kilnd.add("web");
    const vm = await kiln.vms.get("web");
    for (const path of ["", "/", ".", "..", "/srv/", "/srv//", "/srv/.", "/srv/..", "/srv/./"]) {
      await assert.rejects(vm.fs.write(path, "x"), (error) => hasReason(error, "bad-path"), path);
    }
    await vm.fs.write("/new\nline/name\nof two", "x");
    const archive = kilnd.archives.get("/new\nline");
    assert.ok(archive?.includes("\0name\nof two\0"), "under its whole name");
  });

  it("says why kilnd refused an archive that is still being sent", async () => {
    kilnd.add("web");
    const vm = await kiln.vms.get("web");
    const sending = vm.fs.write("/full/x", Buffer.alloc(10_000_000));
    await assert.rejects(sending, (error) => hasReason(error, "guest-disk-full"));
  });

  it("copies in and out with docker's rules, through links", async () => {
    kilnd.add("web");
    const vm = await kiln.vms.get("web");
    const scratch = await mkdtemp(join(tmpdir(), "fs-"));
    kilnd.files.set("/link", { mode: 0o120777, linkTarget: "etc" });
    kilnd.files.set("/etc", { mode: 0o040755 });
    await vm.fs.copyIn(new URL(import.meta.url).pathname, "/link");
    const archive = kilnd.archives.get("/etc");
    assert.ok(archive, "it went where the link leads");
    kilnd.files.set("/etc/kiln.test.js", { mode: 0o100644, archive });
    await vm.fs.copyOut("/etc/kiln.test.js", join(scratch, "copy.js"));
    const same = await readFile(new URL(import.meta.url), "utf8");
    assert.equal(await readFile(join(scratch, "copy.js"), "utf8"), same);
    const nowhere = vm.fs.copyOut("/etc/kiln.test.js", join(scratch, "no/where"));
    await assert.rejects(nowhere, (error) => hasReason(error, "no-such-directory"));
    await rm(scratch, { recursive: true });
  });
});

describe("vm.fs of a VM that does not run", () => {
  const here = new URL(import.meta.url).pathname;
  const folder = here.replace(/\/[^/]*$/, "");

  async function idle() {
    const { id } = kilnd.add("web");
    kilnd.idle.add(id);
    kilnd.archiveStarts.length = 0;
    return kiln.vms.get("web");
  }
  const sent = () => {
    const start = kilnd.archiveStarts.at(-1);
    assert.ok(start);
    const { directory, copy } = start;
    return { directory, copy: copy && [copy.name, copy.isDirectory, copy.contents] };
  };

  it("leaves the place of a copy to its start, with all that docker's rules ask", async () => {
    const vm = await idle();
    assert.equal((await vm.fs.copyIn(here, "/etc/../srv/")).pending, true);
    assert.deepEqual(sent(), { directory: "/srv/", copy: ["vm-files.test.js", false, false] });
    assert.ok(kilnd.archives.get("/srv/")?.includes("copy\0"), "under a name that stands for the source");
    await vm.fs.copyIn(folder, "/srv");
    assert.deepEqual(sent(), { directory: "/srv", copy: ["sdk", true, false] });
    await vm.fs.copyIn(`${folder}/.`, "/srv/.");
    assert.deepEqual(sent(), { directory: "/srv/.", copy: ["sdk", true, true] });
  });

  it("takes files and archives, whose place is known", async () => {
    const vm = await idle();
    await vm.fs.write("/etc/app.conf", "x");
    assert.deepEqual(sent(), { directory: "/etc", copy: undefined });
    assert.equal((await vm.fs.writeArchive("/srv", [Buffer.alloc(1024)])).pending, true);
    assert.deepEqual(sent(), { directory: "/srv", copy: undefined });
  });

  it("takes a copy from another VM", async () => {
    const vm = await idle();
    kilnd.add("source");
    const source = await kiln.vms.get("source");
    kilnd.files.set("/data/f", { mode: 0o100644, archive: kilnd.archives.get("/etc") ?? Buffer.alloc(0) });
    assert.equal((await source.fs.copyTo("/data/f", vm.fs, "/srv")).pending, true);
    assert.deepEqual(sent(), { directory: "/srv", copy: ["f", false, false] });
  });

  it("can't be read", async () => {
    const vm = await idle();
    await assert.rejects(vm.fs.stat("/etc"), (error) => hasReason(error, "vm-created"));
    await assert.rejects(vm.fs.copyOut("/etc", "/nowhere"), (error) => hasReason(error, "vm-created"));
  });
});

// Every call that gives a handle, with time passing at each of its steps: what kilnd sends while nobody listens must be
// there when somebody does.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { tarOf } from "../../test/fixtures/registry/tiny-image.js";
import { hasReason } from "../base/errors.js";
import { VmState } from "../gen/kiln/v1/types_pb.js";
import { Kiln } from "./kiln.js";
import type { Vm } from "./vm.js";

let kilnd: FakeKilnd;
let kiln: Kiln;
let vm: Vm;

before(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
  kilnd.add("hello").config?.command.splice(0, 9, "echo", "from main");
  kiln = await Kiln.connect({ host: kilnd.host });
  vm = await kiln.vms.get("web");
});

after(async () => {
  await kiln.close();
  await kilnd.close();
});

/** Round trips on the same connection: whatever kilnd had to say before has arrived meanwhile. */
async function meanwhile(): Promise<void> {
  for (let trip = 0; trip < 5; trip++) await kiln.version();
}

async function* late<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const item of items) {
    await meanwhile();
    yield item;
  }
}

async function textOf(chunks: AsyncIterable<{ data: Uint8Array }>): Promise<string> {
  const seen: Uint8Array[] = [];
  for await (const { data } of late(chunks)) seen.push(data);
  return Buffer.concat(seen).toString();
}

describe("exec, later", { timeout: 60_000 }, () => {
  it("is awaited after its whole answer has come", async () => {
    const exec = vm.exec(["echo", "hi"]);
    await meanwhile();
    assert.equal((await exec).stdout.text, "hi\n");
  });

  it("is awaited after another one that was started with it", async () => {
    const [first, second] = [vm.exec(["echo", "a"]), vm.exec(["echo", "b"])];
    assert.equal((await first).stdout.text, "a\n");
    await meanwhile();
    assert.equal((await second).stdout.text, "b\n");
  });

  it("is iterated, slowly", async () => {
    const exec = vm.exec(["echo", "hi"]);
    await meanwhile();
    assert.equal(await textOf(exec), "hi\n");
    await meanwhile();
    assert.equal(await exec.wait(), 0);
  });

  it("tells its process id, then its end", async () => {
    const exec = vm.exec(["echo", "hi"]);
    await meanwhile();
    assert.equal(await exec.pid(), 42);
    await meanwhile();
    assert.equal(await exec.wait(), 0);
  });

  it("takes its stdin before anybody reads", async () => {
    const exec = vm.exec(["cat"], { stdin: "pipe" });
    const writer = exec.stdin.getWriter();
    await meanwhile();
    await writer.write("typed");
    await meanwhile();
    await writer.close();
    await meanwhile();
    assert.equal((await exec).stdout.text, "typed");
  });

  it("is refused, which is told whenever it is asked for", async () => {
    const exec = kiln.vms.ref("nobody").exec(["echo"]);
    await meanwhile();
    await assert.rejects(exec.result(), /no such VM: nobody/);
  });

  it("ends by its own deadline, whoever looks", async () => {
    const exec = vm.exec(["sleep"], { timeoutMs: 50 });
    await new Promise((resolve) => AbortSignal.timeout(100).addEventListener("abort", resolve));
    await assert.rejects(exec.result(), (error: unknown) => {
      assert.ok(hasReason(error, "timeout"));
      assert.match(String(error), /Exec of VM web: it took longer than 50 ms/);
      return true;
    });
  });

  it("has its input read to the end, given as an iterable", async () => {
    async function* source() {
      await meanwhile();
      yield Buffer.from("one ");
      await meanwhile();
      yield Buffer.from("two");
    }
    const exec = vm.exec(["cat"], { stdin: source() });
    await meanwhile();
    assert.equal((await exec).stdout.text, "one two");
  });
});

describe("attach, later", { timeout: 60_000 }, () => {
  it("gives the VM, the output and the end", async () => {
    const program = kiln.vms.ref("hello").attach();
    await meanwhile();
    assert.equal((await program.attached()).name, "hello");
    await meanwhile();
    assert.equal(await textOf(program), "from main\n");
    await meanwhile();
    assert.equal((await program.exit()).exitCode, 0);
  });

  it("gives the end alone", async () => {
    const program = kiln.vms.ref("hello").attach();
    await meanwhile();
    assert.equal((await program.exit()).exitCode, 0);
  });
});

describe("everything that is iterated, later", { timeout: 60_000 }, () => {
  it("logs", async () => {
    const logs = vm.logs();
    await meanwhile();
    assert.equal(await textOf(logs), "one\ntwerror\no\n");
  });

  it("stats", async () => {
    const stats = vm.stats({ once: true });
    await meanwhile();
    const samples = [];
    for await (const sample of late(stats)) samples.push(sample);
    assert.equal(samples.length, 1);
  });

  it("events", async () => {
    const events = kiln.events();
    await meanwhile();
    const seen: string[] = [];
    for await (const event of late(events)) {
      seen.push(event.action);
      if (seen.length === 3) break;
    }
    assert.deepEqual(seen, ["start", "start", "start"]);
  });

  it("a directory", async () => {
    const listing = vm.fs.list("/srv");
    await meanwhile();
    const seen: string[] = [];
    for await (const { name, type } of late(listing)) seen.push(`${type} ${name}`);
    assert.deepEqual(seen, ["directory a", "file b"]);
  });

  it("what happens to files, until it is closed", async () => {
    const changes = await vm.fs.watch("/srv", { recursive: true });
    await meanwhile();
    const seen: string[] = [];
    for await (const { kind, path, to } of late(changes)) {
      seen.push(`${kind} ${path} ${to}`);
      if (kind === "renamed") await changes.close();
    }
    assert.deepEqual(seen, ["created /srv/one undefined", "renamed /srv/one /srv/two"]);
  });

  it("archives out", async () => {
    kilnd.files.set("/srv", { mode: 0o040755, archive: Buffer.alloc(5000, "x") });
    const archive = vm.fs.readArchive("/srv");
    await meanwhile();
    let bytes = 0;
    for await (const chunk of late(archive)) bytes += chunk.byteLength;
    assert.equal(bytes, 5000);
  });

  it("saved images", async () => {
    const saved = kiln.images.save(["a", "b"]);
    await meanwhile();
    const chunks: Uint8Array[] = [];
    for await (const chunk of late(saved)) chunks.push(chunk);
    assert.equal(Buffer.concat(chunks).toString(), "saved a\nsaved b\n");
  });
});

describe("everything that is awaited once, later", { timeout: 60_000 }, () => {
  const steps: number[] = [];
  const onProgress = ({ current }: { current: number }) => void steps.push(current);
  const calls: readonly [what: string, begin: () => Promise<unknown>, check: (answer: never) => void][] = [
    [
      "a pull with progress",
      () => kiln.images.pull("debian:bookworm", { onProgress }),
      (answer: { sizeBytes: number }) => {
        assert.equal(answer.sizeBytes, 30_000_000);
        assert.deepEqual(steps, [0, 50, 100]);
      },
    ],
    [
      "a new VM",
      () => kiln.create("debian", { name: "late" }),
      (answer: Vm) => assert.equal(typeof answer.id, "string"),
    ],
    [
      "a kernel's build",
      () => kiln.kernels.build({ onProgress }),
      (answer: { kernel?: { name: string } }) => assert.equal(answer.kernel?.name, "debian"),
    ],
    [
      "a kernel's import",
      () => kiln.kernels.import("/boot/vmlinuz", { onProgress }),
      (answer: { source: string }) => assert.equal(answer.source, "/boot/vmlinuz"),
    ],
  ];
  for (const [what, begin, check] of calls)
    it(what, async () => {
      const answer = begin();
      await meanwhile();
      check((await answer) as never);
    });

  it("a file that is read", async () => {
    kilnd.files.set("/tmp/f", { mode: 0o100644, archive: tarOf({ f: "content" }) });
    const reading = vm.fs.readText("/tmp/f");
    await meanwhile();
    assert.equal(await reading, "content");
  });

  it("a file that is written", async () => {
    const writing = vm.fs.write("/srv/f", "content");
    await meanwhile();
    await writing;
    assert.ok(kilnd.archives.get("/srv")?.includes("content"));
  });
});

describe("what a VM's end and local files are awaited for, later", { timeout: 60_000 }, () => {
  let local = "";
  before(async () => {
    local = await mkdtemp(join(tmpdir(), "kiln-late-"));
    await writeFile(join(local, "mine"), "of the host");
    kilnd.files.set("/srv", { mode: 0o040755 });
    kilnd.files.set("/srv/theirs", { mode: 0o100644, archive: tarOf({ theirs: "of the guest" }) });
  });
  after(() => rm(local, { recursive: true, force: true }));

  it("the end of a VM that has ended", async () => {
    const { status } = kilnd.add("done");
    Object.assign(status ?? {}, { state: VmState.EXITED, exitCode: 7 });
    const ending = kiln.vms.ref("done").wait();
    await meanwhile();
    assert.equal((await ending).exitCode, 7);
  });

  it("the end of a VM that ends meanwhile, by another connection", async () => {
    kilnd.add("going");
    const ending = kiln.vms.ref("going").wait();
    await meanwhile();
    const { status } = kilnd.add("going");
    Object.assign(status ?? {}, { state: VmState.EXITED, exitCode: 8 });
    const asked = () => kilnd.calls.filter((call) => call === "WaitVm going").length;
    kilnd.cutConnections();
    while (asked() < 2) await new Promise(setImmediate);
    await meanwhile();
    assert.equal((await ending).exitCode, 8);
  });

  it("a copy into a VM, and one into a VM that does not run", async () => {
    kilnd.add("idle");
    kilnd.idle.add("idle");
    const copies = [vm, kiln.vms.ref("idle")].map(({ fs }) => fs.copyIn(join(local, "mine"), "/srv"));
    await meanwhile();
    for (const [n, copy] of copies.entries()) assert.equal((await copy).pending, n === 1);
    assert.ok(kilnd.archives.get("/srv")?.includes("of the host"));
  });

  it("a copy out of a VM", async () => {
    const copy = vm.fs.copyOut("/srv/theirs", local);
    await meanwhile();
    assert.equal((await copy).entries, 1);
    assert.equal(await readFile(join(local, "theirs"), "utf8"), "of the guest");
  });

  it("a copy from one VM to another", async () => {
    kilnd.add("other");
    kilnd.archives.delete("/srv");
    const copy = vm.fs.copyTo("/srv/theirs", kiln.vms.ref("other").fs, "/srv");
    await meanwhile();
    await copy;
    assert.ok(kilnd.archives.get("/srv")?.includes("of the guest"));
  });
});

describe("everything that is sent, slowly", { timeout: 60_000 }, () => {
  async function* slowly(): AsyncGenerator<Uint8Array> {
    await meanwhile();
    yield Buffer.from("first");
    await meanwhile();
    yield Buffer.from("second");
    await meanwhile();
  }

  it("archives in", async () => {
    const writing = vm.fs.writeArchive("/srv", slowly());
    await meanwhile();
    assert.equal((await writing).bytes, 11);
  });

  it("an image", async () => {
    const importing = kiln.images.import(slowly(), "mine");
    await meanwhile();
    assert.equal((await importing).sizeBytes, 11);
  });

  it("a refusal comes however slow the source is", async () => {
    const writing = vm.fs.writeArchive("/full", slowly());
    writing.catch(() => undefined);
    await meanwhile();
    await assert.rejects(writing, /no space left/);
  });
});

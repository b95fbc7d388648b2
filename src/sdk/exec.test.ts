import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { inspect } from "node:util";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import type { ExecAnswer } from "../../test/fixtures/fake-programs.js";
import { Code, hasReason, KilnError } from "../base/errors.js";
import { Kiln } from "./kiln.js";
import type { Vm } from "./vm.js";

let kilnd: FakeKilnd;
let kiln: Kiln;
let vm: Vm;

before(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
  kiln = await Kiln.connect({ host: kilnd.host });
  vm = await kiln.vms.get("web");
});

after(async () => {
  await kiln.close();
  await kilnd.close();
});

describe("awaited exec", () => {
  it("collects stdout and stderr apart", async () => {
    const result = await vm.exec(["echo", "a", "b"]);
    assert.equal(result.exitCode, 0);
    assert.equal(result.stdout.text, "a b\n");
    assert.deepEqual(result.stdout.lines(), ["a b"]);
    assert.equal(result.stderr.text, "");
    assert.equal((await vm.exec(["complain", "x"])).stderr.text, "x\n");
  });

  it("gives a non-zero exit code as data", async () => {
    assert.equal((await vm.exec(["exit", "3"])).exitCode, 3);
  });

  it("throws a non-zero exit code with check", async () => {
    await assert.rejects(vm.exec(["exit", "3"], { check: true }).result(), (error) => {
      assert.ok(hasReason(error, "program-failed"));
      assert.equal((error as KilnError).details.exitCode, "3");
      return true;
    });
  });

  it("says why a program could not be started", async () => {
    const result = await vm.exec(["nothing-like-this"]);
    assert.equal(result.exitCode, 127);
    assert.equal(result.error, "nothing-like-this: not found");
  });

  it("keeps output up to the cap and says that it was cut", async () => {
    const result = await vm.exec(["flood", "200000"], { maxOutputBytes: 1000 });
    assert.equal(result.stdout.bytes.byteLength, 1000);
    assert.equal(result.truncated, true);
    assert.equal(result.exitCode, 0);
  });

  it("rejects with kilnd's refusal", async () => {
    const exec = kiln.vms.ref("nobody").exec(["echo"]);
    await assert.rejects(exec.result(), (error) => hasReason(error, "vm-not-found"));
  });

  it("bounds the whole call with timeoutMs", async () => {
    const exec = vm.exec(["sleep"], { timeoutMs: 80 });
    await assert.rejects(exec.result(), (error) => hasReason(error, "timeout"));
  });
});

describe("iterated exec", () => {
  it("gives output as it comes, and the exit code after it", async () => {
    const exec = vm.exec(["echo", "hi"]);
    const seen: [number, string][] = [];
    for await (const { fd, data } of exec) seen.push([fd, Buffer.from(data).toString()]);
    assert.deepEqual(seen, [[1, "hi\n"]]);
    assert.equal(await exec.wait(), 0);
    assert.equal((await exec).stdout.text, "", "the output was the loop's");
  });

  it("refuses a second reader", async () => {
    const exec = vm.exec(["echo", "hi"]);
    for await (const _ of exec);
    assert.throws(
      () => exec[Symbol.asyncIterator](),
      (error) => hasReason(error, "output-already-read"),
    );
  });

  it("ends the call when the loop is left", async () => {
    const exec = vm.exec(["yes"]);
    for await (const _ of exec) break;
    await assert.rejects(exec.wait(), (error) => error instanceof KilnError && error.code === Code.Cancelled);
  });

  it("stops the program while nobody reads", async () => {
    const before = kilnd.produced;
    const exec = vm.exec(["yes"]);
    await exec.pid();
    let last = -1;
    // Stable over many turns of the loop: the windows are full and the program waits.
    for (let still = 0; still < 200; ) {
      await new Promise((resolve) => setImmediate(resolve));
      still = kilnd.produced === last ? still + 1 : 0;
      last = kilnd.produced;
    }
    const held = last - before;
    assert.ok(held < 2 * 1024 * 1024, `${held} bytes were taken from a program that nobody reads`);
    let read = 0;
    for await (const { data } of exec) {
      read += data.byteLength;
      if (read > held + 1024 * 1024) break;
    }
    assert.ok(kilnd.produced - before > held, "it goes on once somebody reads");
  });
});

describe("stdin of exec", () => {
  it("takes bytes given at the start", async () => {
    const result = await vm.exec(["cat"], { stdin: { text: "hello" } });
    assert.equal(result.stdout.text, "hello");
  });

  it("takes a stream", async () => {
    async function* source() {
      yield Buffer.from("one ");
      yield Buffer.alloc(200_000, "x");
    }
    const result = await vm.exec(["cat"], { stdin: source() });
    assert.equal(result.stdout.bytes.byteLength, 200_004);
  });

  it("is a WritableStream with stdin: pipe", async () => {
    const exec = vm.exec(["cat"], { stdin: "pipe" });
    const writer = exec.stdin.getWriter();
    await writer.write("typed");
    await writer.close();
    assert.equal((await exec).stdout.text, "typed");
  });

  it("fails the call when the given stream breaks", async () => {
    async function* source() {
      yield Buffer.from("half");
      throw new Error("disk on fire");
    }
    await assert.rejects(
      vm.exec(["cat"], { stdin: source() }).result(),
      /read the stdin of cat: disk on fire/,
    );
  });

  it("is refused where none was asked for", () => {
    const exec = vm.exec(["cat"]);
    assert.throws(
      () => exec.stdin,
      (error) => hasReason(error, "no-stdin"),
    );
    return exec.close();
  });
});

describe("control of exec", () => {
  it("tells the process id", async () => {
    const exec = vm.exec(["echo", "hi"]);
    assert.equal(await exec.pid(), 42);
    assert.equal((await exec).stdout.text, "hi\n", "nothing was lost to the question");
  });

  it("sends signals", async () => {
    const exec = vm.exec(["signals"]);
    await exec.kill("SIGTERM");
    const result = await exec;
    assert.equal(result.stdout.text, "got SIGTERM\n");
    assert.equal(result.exitCode, 143);
  });

  it("sends the size of the terminal", async () => {
    const exec = vm.exec(["cat"], { stdin: "pipe", tty: true });
    await exec.resize({ columns: 132, rows: 50 });
    await exec.closeStdin();
    assert.equal((await exec).stdout.text, "[132x50]");
  });

  it("starts a process and leaves it with spawn", async () => {
    assert.equal(await vm.spawn(["sleep", "100"]), 42);
    await assert.rejects(vm.spawn(["nothing-like-this"]), (error) => hasReason(error, "program-not-started"));
  });
});

describe("attach", () => {
  it("gives the VM, its output and its end", async () => {
    kilnd.add("hello").config?.command.splice(0, 9, "echo", "from main");
    const program = kiln.vms.ref("hello").attach();
    assert.equal((await program.attached()).name, "hello");
    const chunks: Uint8Array[] = [];
    for await (const { data } of program) chunks.push(data);
    assert.equal(Buffer.concat(chunks).toString(), "from main\n");
    const { exitCode, status } = await program.exit();
    assert.equal(exitCode, 0);
    assert.equal(status.state, "running");
  });
});

it("an idle connection does not keep the process alive", async () => {
  const { spawn } = await import("node:child_process");
  const sdk = new URL("./index.js", import.meta.url).href;
  const script = `const { Kiln } = await import(${JSON.stringify(sdk)});
    const kiln = await Kiln.connect({ host: ${JSON.stringify(kilnd.host)} });
    const [vm] = await kiln.vms.list(); console.log(vm.name);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  const [code] = await once(child, "close");
  assert.equal(code, 0);
  assert.equal(out, "web\n");
});

describe("what a result and an error look like", () => {
  it("shows text in JSON and on the console", async () => {
    const result = await vm.exec(["echo", "hi"]);
    assert.equal(JSON.parse(JSON.stringify(result)).stdout, "hi\n");
    assert.match(inspect(result), /stdout: CapturedOutput 'hi\\n'/);
    assert.equal(`${result.stdout}`, "hi\n");
  });

  it("names an error's code in words", async () => {
    const refused = kiln.vms.ref("nobody").exec(["echo"]).result();
    const error: unknown = await refused.catch((reason: unknown) => reason);
    assert.ok(error instanceof KilnError);
    assert.equal(error.codeName, "not_found");
    assert.match(inspect(error), /code: 5,\s+codeName: 'not_found'/);
    const { code, codeName, reason, hint } = JSON.parse(JSON.stringify(error));
    assert.deepEqual([code, codeName, reason, hint], [error.code, "not_found", "vm-not-found", "look"]);
  });

  it("takes a string for a line of the VM's shell", async () => {
    await vm.exec("cd /srv && ls");
    assert.deepEqual(kilnd.execs.at(-1)?.config?.args, ["/bin/sh", "-c", "cd /srv && ls"]);
    await vm.spawn("sleep 5");
    assert.deepEqual(kilnd.execs.at(-1)?.config?.args, ["/bin/sh", "-c", "sleep 5"]);
  });

  it("names VM, call and limit where a limit is over", async () => {
    await assert.rejects(vm.wait({ timeoutMs: 30 }), /WaitVm of VM web: it took longer than 30 ms/);
    await assert.rejects(
      vm.exec(["sleep"], { timeoutMs: 30 }).result(),
      /Exec of VM web: it took longer than 30 ms/,
    );
  });

  it("ends at its own limit while its VM stands still at a full disk, and names the VM", async () => {
    kilnd.execScripts.push(async function* (_requests, signal): AsyncGenerator<ExecAnswer> {
      yield { message: { case: "started", value: {} } };
      const message = "the host's disk is full";
      yield { message: { case: "stalled", value: { reason: "host-disk-full", message } } };
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    });
    await assert.rejects(vm.exec(["dd"], { timeoutMs: 100 }).result(), (error) => {
      assert.ok(error instanceof KilnError);
      assert.equal(error.code, Code.DeadlineExceeded);
      assert.match(error.message, /Exec of VM web: it took longer than 100 ms/);
      return true;
    });
  });
});

// What runs in the foreground outlives kilnd: after kill -9, and after the end that an upgrade gives it, it goes on where
// it was, byte for byte, and its exit arrives.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { identifyProcess, isAlive } from "../../src/base/processes.js";
import { Kiln } from "../../src/sdk/index.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { Terminal } from "./cli-terminal.js";
import { eventually, FRONT, TestKiln, TYPESCRIPT } from "./harness.js";

const LINES = 400;
/** Numbers on stdout, every tenth on stderr too; then the code. */
const counter = (code: number) =>
  `i=0; while [ $i -lt ${LINES} ]; do echo $i; [ $((i % 10)) = 0 ] && echo e$i >&2; i=$((i+1)); usleep 5000; done; exit ${code}`;
/** The same for as long as there is no such file, and how many it were. */
const countUntil = (path: string, code: number) =>
  `i=0; until [ -e ${path} ]; do echo $i; [ $((i % 10)) = 0 ] && echo e$i >&2; i=$((i+1)); usleep 5000; done; echo $i in all; exit ${code}`;
const NUMBERS = Array.from({ length: LINES }, (_, index) => `${index}\n`).join("");
const TENTHS = Array.from({ length: LINES / 10 }, (_, index) => `e${index * 10}\n`).join("");

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  // Named, so that no client starts a kilnd while the test does.
  kiln.env.KILN_HOST = `unix://${kiln.socket}`;
  image = await busyboxImage(join(kiln.root, "busybox"));
  await kiln.ok(["run", "-d", "--name", "box", "-m", "128m", image, "sleep", "100000"]);
  // By its id: an image on disk is not the native front end's.
  image = (await kiln.ok(["images", "-q", "--no-trunc"])).trim();
});
after(() => kiln.dispose());

/** A client, and what it has said so far. */
class Client {
  stdout = "";
  stderr = "";
  /** All that it has said has come: its exit code may be known before that. */
  #isOver = false;
  readonly ended: Promise<number | null>;
  readonly child: ChildProcess;

  constructor(args: readonly string[], command = kiln.command, env: NodeJS.ProcessEnv = kiln.env) {
    const [program = "", ...words] = [...command, ...args];
    this.child = spawn(program, words, { env, stdio: ["pipe", "pipe", "pipe"] });
    this.child.stdout?.on("data", (chunk: Buffer) => {
      this.stdout += chunk.toString("latin1");
    });
    this.child.stderr?.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString("latin1");
    });
    this.ended = once(this.child, "close").then(([code]) => {
      this.#isOver = true;
      return code as number | null;
    });
  }

  async saying(text: string): Promise<void> {
    await eventually(`"${text}" in the output`, async () => {
      if (this.stdout.includes(text)) return true;
      assert.ok(!this.#isOver, `it ended before "${text}": ${this.stdout.slice(-80)}${this.stderr}`);
      return undefined;
    });
  }
}

/** The same by the native front end and by the TypeScript CLI, at once. */
const byBoth = (...args: string[]) => [new Client(args, FRONT), new Client(args, TYPESCRIPT)];

/** TERM is how it ends for an upgrade: kilnd itself hears of it, and must leave to the next one what runs. */
async function endAndRestart(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
  await kiln.stopDaemon(signal);
  await kiln.startDaemon();
}

/** Those that a client has started, to their end. */
async function killEveryKilnd(): Promise<void> {
  const kilnds = async () =>
    (await kiln.processes()).filter(({ command }) => command.includes("daemon/main.js"));
  await eventually("they have ended", async () => {
    const all = await Promise.all((await kilnds()).map(({ pid }) => identifyProcess(pid)));
    const found = all.filter((each) => each !== undefined);
    for (const { pid } of found) process.kill(pid, "SIGKILL");
    // One that is being ended loses its command line before its sockets, which a connection still finds.
    for (const each of found)
      await eventually("its last thread has ended", async () => !(await isAlive(each)) || undefined);
    return found.length === 0 || undefined;
  });
}

describe("after the end of kilnd", () => {
  it("exec goes on, after kill -9 and after TERM, and gives the exit code", async () => {
    const clients = byBoth("exec", "box", "sh", "-c", counter(7));
    for (const [mark, signal] of [
      ["\n20\n", "SIGKILL"],
      ["\n200\n", "SIGTERM"],
    ] as const) {
      for (const client of clients) await client.saying(mark);
      await endAndRestart(signal);
    }
    for (const client of clients) {
      assert.equal(await client.ended, 7, client.stderr);
      assert.equal(client.stdout, NUMBERS);
      assert.equal(client.stderr, TENTHS);
    }
  });

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    it(`exec gives the program each byte of stdin once, after ${signal}`, async () => {
      const clients = byBoth("exec", "-i", "box", "sh", "-c", "echo up; sha256sum");
      const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 251));
      for (const { child } of clients) child.stdin?.write(bytes.subarray(0, 1_000_000));
      for (const client of clients) await client.saying("up");
      await kiln.stopDaemon(signal);
      for (const { child } of clients) child.stdin?.end(bytes.subarray(1_000_000));
      await kiln.startDaemon();
      for (const client of clients) {
        assert.equal(await client.ended, 0, client.stderr);
        assert.equal(client.stdout, `up\n${createHash("sha256").update(bytes).digest("hex")}  -\n`);
      }
    });
  }

  it("exec on a terminal goes on, and the terminal is given back", async () => {
    const script = "stty -echo; echo up; for i in 1 2 3; do read a; echo got $a; done; stty size; exit 3";
    const terminals = [FRONT, TYPESCRIPT].map(
      (command) => new Terminal({ command, env: kiln.env }, ["exec", "-it", "box", "sh", "-c", script]),
    );
    for (const terminal of terminals) {
      await terminal.until(/up\r\n/);
      terminal.type("one\r");
      await terminal.until(/got one\r\n/);
    }
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await kiln.stopDaemon(signal);
      for (const terminal of terminals) terminal.type(`${signal}\r`);
      await kiln.startDaemon();
      for (const terminal of terminals) await terminal.until(new RegExp(`got ${signal}\\r\\n`));
    }
    for (const terminal of terminals) {
      const { code, screen } = await terminal.end();
      assert.equal(code, 3, screen);
      assert.match(screen, /up\r\ngot one\r\ngot SIGKILL\r\ngot SIGTERM\r\n30 100\r\nicanon\s*$/);
    }
  });

  it("run --rm, attach and logs -f go on, after kill -9 and after TERM, and the exit arrives", async () => {
    // Ends when it is told to: on a busy machine clients take longer to start than any time that it could be given.
    const script = countUntil("/enough", 9);
    const run = new Client(
      ["run", "--rm", "--name", "count", "-m", "128m", image, "sh", "-c", script],
      FRONT,
    );
    await run.saying("\n5\n");
    assert.equal(await readlink(`/proc/${run.child.pid}/exe`), FRONT[0], "it was not handed over");
    const attach = new Client(["attach", "--no-stdin", "count"]);
    const logs = new Client(["logs", "-f", "count"]);
    await Promise.all([attach.saying("\n"), logs.saying("\n5\n")]);
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await endAndRestart(signal);
      for (const client of [run, attach, logs]) {
        const seen = client.stdout.length;
        await eventually("it goes on", async () => client.stdout.length > seen || undefined);
      }
    }
    // Its end may come before the exec's own.
    await kiln.kiln(["exec", "count", "touch", "/enough"]);
    assert.equal(await run.ended, 9, run.stderr);
    const count = Number(/^(\d+) in all$/m.exec(run.stdout)?.[1]);
    const numbers = Array.from({ length: count }, (_, index) => index);
    assert.equal(run.stdout, [...numbers, `${count} in all\n`].join("\n"));
    const tenths = numbers.filter((number) => number % 10 === 0);
    assert.equal(run.stderr, tenths.map((number) => `e${number}\n`).join(""));
    assert.equal(await attach.ended, 9, attach.stderr);
    assert.ok(
      attach.stdout.length > 0 && run.stdout.endsWith(attach.stdout),
      "the rest, without gap or repeat",
    );
    assert.equal(await logs.ended, 0, logs.stderr);
    assert.equal(logs.stdout, run.stdout);
    await eventually("it is removed", async () =>
      (await kiln.ok(["ps", "-aq", "--filter", "name=count"])) === "" ? true : undefined,
    );
  });

  it("the end of a run --rm is kept that came while nobody was there", async () => {
    const script = "echo begun; until [ -e /go ]; do usleep 50000; done; echo over; exit 4";
    const args = ["run", "--rm", "--name", "brief", "-m", "128m", image, "sh", "-c", script];
    const run = new Client(args, TYPESCRIPT);
    await run.saying("begun");
    await endAndRestart();
    run.child.kill("SIGSTOP");
    // Not before: a client that were there would hear of the end, and the VM would go.
    await kiln.kiln(["exec", "brief", "touch", "/go"]);
    await eventually("it has ended", async () =>
      (await kiln.ok(["ps", "-a", "--filter", "name=brief", "--format", "{{.Status}}"])).includes("Exited")
        ? true
        : undefined,
    );
    await endAndRestart("SIGTERM");
    run.child.kill("SIGCONT");
    assert.equal(await run.ended, 4, run.stderr);
    assert.equal(run.stdout, "begun\nover\n");
  });

  it("the SDK's exec goes on, with stdin and a deadline of its own", async () => {
    await using sdk = await Kiln.connect({ host: `unix://${kiln.socket}` });
    const vm = await sdk.vms.get("box");
    const exec = vm.exec(["sh", "-c", "read x; echo $x; exit 5"], { stdin: "pipe" });
    await exec.pid();
    await kiln.stopDaemon("SIGKILL");
    const writer = exec.stdin.getWriter();
    const written = writer.write("typed\n");
    await kiln.startDaemon();
    await written;
    const { exitCode, stdout } = await exec;
    assert.deepEqual([exitCode, stdout.text], [5, "typed\n"]);
  });

  it("a signal, a key and a deadline end a client whose kilnd is away", async () => {
    const script = ["sh", "-c", "stty -echo 2>/dev/null; echo up; sleep 1000"];
    const clients = byBoth("exec", "box", ...script);
    for (const client of clients) await client.saying("up");
    const terminals = [FRONT, TYPESCRIPT].map(
      (command) => new Terminal({ command, env: kiln.env }, ["exec", "-it", "box", ...script]),
    );
    for (const terminal of terminals) await terminal.until(/up\r\n/);
    await using sdk = await Kiln.connect({ host: `unix://${kiln.socket}` });
    const vm = await sdk.vms.get("box");
    // Long enough for its start on a busy machine, which is to come before.
    const bounded = vm.exec(["sleep", "1000"], { timeoutMs: 10_000 });
    await bounded.pid();
    // Stopped, so that no client brings another one up.
    await kiln.stopDaemon("SIGKILL");
    await assert.rejects(bounded.result(), /\b10 s|10000 ms/);
    for (const client of clients) {
      client.child.kill("SIGTERM");
      assert.equal(await client.ended, 143, client.stderr);
    }
    for (const terminal of terminals) {
      terminal.type("\x03");
      const { code, screen } = await terminal.end();
      assert.equal(code, 130, screen);
      assert.match(screen, /(^|[^-])icanon\s*$/);
    }
    await kiln.startDaemon();
  });

  it("wait, events, stats and logs of the console go on", async () => {
    const script =
      "mkfifo /go; echo first > /dev/console; read x < /go; echo second > /dev/console; echo over; exit 8";
    const flags = ["-d", "--rm", "--name", "job", "-m", "128m"];
    const id = (await kiln.ok(["run", ...flags, image, "sh", "-c", script])).trim();
    const wait = new Client(["wait", "job"]);
    const filters = ["-f", "event=start", "-f", "event=die", "--since", "1h"];
    const events = new Client(["events", ...filters, "--format", "{{.action}} {{.attributes.name}}"]);
    const stats = new Client(["stats", "--format", "{{.Name}}", "box"]);
    const console = new Client(["logs", "-f", "--console", "job"]);
    const silent = new Client(["logs", "-f", "job"]);
    await stats.saying("box\n");
    await events.saying("start job\n");
    await console.saying("first");
    // Two of them have nothing to say yet; each must have reached this kilnd.
    const status = join(kiln.root, "data/vms", id, "status.json");
    await eventually("the three others follow the VM", async () =>
      JSON.parse(await readFile(status, "utf8")).followers === 3 ? true : undefined,
    );
    await kiln.stopDaemon("SIGKILL");
    const seen = stats.stdout.length;
    await kiln.startDaemon();
    // Its end may come before the exec's own: nothing is said of that one.
    await kiln.kiln(["exec", "job", "sh", "-c", "echo x > /go"]);
    assert.equal(await wait.ended, 0, wait.stderr);
    assert.equal(wait.stdout, "8\n");
    await events.saying("die job\n");
    await eventually("stats go on", async () => stats.stdout.length > seen || undefined);
    assert.equal(await console.ended, 0, console.stderr);
    assert.equal(await silent.ended, 0, silent.stderr);
    assert.equal(silent.stdout, "over\n", "of which nothing had come before");
    assert.match(console.stdout, /^(?!.*first.*first).*first.*second/s, "nothing is lost, nothing repeated");
    for (const { child } of [events, stats]) child.kill();
  });

  it("each of exec, run, attach and logs -f brings kilnd back, where nobody named its socket", async () => {
    const { KILN_HOST: _, ...env } = kiln.env;
    const slowlyUntil = (path: string) => [
      "sh",
      "-c",
      `i=0; until [ -e ${path} ]; do echo $i; i=$((i+1)); usleep 100000; done; exit 6`,
    ];
    const run = new Client(
      ["run", "--rm", "--name", "back", "-m", "128m", image, ...slowlyUntil("/last")],
      FRONT,
      env,
    );
    await run.saying("0\n");
    const attach = new Client(["attach", "--no-stdin", "back"], TYPESCRIPT, env);
    const logs = new Client(["logs", "-f", "back"], TYPESCRIPT, env);
    const execs = [FRONT, TYPESCRIPT].map(
      (command) => new Client(["exec", "back", ...slowlyUntil("/go")], command, env),
    );
    const clients = [...execs, run, attach, logs];
    for (const client of clients) await client.saying("\n");
    await kiln.stopDaemon("SIGKILL");
    for (const client of clients) {
      // Alone: nobody else can have done it.
      for (const { child } of clients) child.kill("SIGSTOP");
      await killEveryKilnd();
      client.child.kill("SIGCONT");
      const seen = client.stdout.length;
      await eventually("it goes on", async () => client.stdout.length > seen || undefined);
    }
    for (const { child } of clients) child.kill("SIGCONT");
    await kiln.ok(["exec", "back", "touch", "/go"], { env });
    for (const client of execs) assert.equal(await client.ended, 6, client.stderr);
    // Its end may come before the exec's own.
    await kiln.kiln(["exec", "back", "touch", "/last"], { env });
    for (const client of [run, attach]) assert.equal(await client.ended, 6, client.stderr);
    assert.equal(await logs.ended, 0, logs.stderr);
    for (const client of [...execs, run]) {
      const numbers = client.stdout.trimEnd().split("\n");
      assert.deepEqual(
        numbers,
        Array.from(numbers, (_, n) => String(n)),
        "each once, in order",
      );
    }
    assert.equal(logs.stdout, run.stdout);
    assert.ok(attach.stdout.length > 0 && run.stdout.endsWith(attach.stdout));
    await killEveryKilnd();
    await kiln.startDaemon();
  });

  it("a client that leaves takes its program with it", async () => {
    const client = new Client(["exec", "box", "sh", "-c", "echo up; exec sleep 4321"]);
    await client.saying("up");
    client.child.kill("SIGKILL");
    await client.ended;
    await eventually("the program ends", async () => {
      const { stdout } = await kiln.kiln(["exec", "box", "sh", "-c", "ps | grep -c '[s]leep 4321'"]);
      return stdout.trim() === "0" ? true : undefined;
    });
  });
});

// One kiln of its own per test file: a fresh KILN_ROOT, the real CLI, the real daemon, real guests.
// `dispose` removes everything and fails when a process that belongs to the root is left.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { identifyProcess, isAlive } from "../../src/base/processes.js";
import { delay } from "../../src/base/runtime.js";
import { commandPath, seedKernel, type TestKernel } from "../fixtures/assets.js";
import { whereItStands } from "../fixtures/where-it-stands.js";

const DIST = fileURLToPath(new URL("../../src/", import.meta.url));
export const CLI = join(DIST, "cli/main.js");
export const DAEMON = join(DIST, "daemon/main.js");
/** The command as users have it: native, and on to the TypeScript CLI for all but plain exec and run. */
export const FRONT: readonly string[] = [commandPath()];
/** That CLI alone. */
export const TYPESCRIPT: readonly string[] = [process.execPath, "--", CLI];
/** What the tests run as `kiln`: KILN_TEST_CLI=typescript leaves the native part out. */
export const KILN = process.env.KILN_TEST_CLI === "typescript" ? TYPESCRIPT : FRONT;
/** This very node, whatever PATH has. */
const KILN_NODE = { KILN_NODE: process.execPath };

export interface RunResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  stdin?: string | Uint8Array;
  env?: NodeJS.ProcessEnv;
  /** Kills the program after it; default 300 s: a guest under software emulation on a busy machine is slow. */
  timeoutMs?: number;
  cwd?: string;
}

/** Runs a program to its end and collects what it prints. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program = "", ...args] = argv;
  const child = spawn(program, args, {
    env: { ...KILN_NODE, ...(options.env ?? process.env) },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdio: ["pipe", "pipe", "pipe"],
  });
  return endedWithin(child, options.timeoutMs ?? 300_000, collect(child, options.stdin));
}

/** A program that does not end is killed, and where it stood then is part of what it has said. */
async function endedWithin(child: ChildProcess, ms: number, end: Promise<RunResult>): Promise<RunResult> {
  let stood = "";
  const kill = async () => {
    stood = `\nkilled after ${ms} ms; its threads:\n${await whereItStands(child.pid ?? 0)}\n`;
    child.kill("SIGKILL");
  };
  const timer = setTimeout(() => void kill(), ms);
  const result = await end.finally(() => clearTimeout(timer));
  return { ...result, stderr: result.stderr + stood };
}

/** Makes `kiln` a command of this directory, as packages do: by a link. */
export async function installKiln(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, "kiln");
  const [program = "", ...words] = KILN;
  if (words.length === 0) return symlink(program, path);
  const quoted = KILN.map((word) => `"${word}"`).join(" ");
  await writeFile(path, `#!/bin/sh\nexec ${quoted} "$@"\n`, { mode: 0o755 });
}

function collect(child: ChildProcess, stdin?: string | Uint8Array): Promise<RunResult> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => err.push(chunk));
  // The program may end without reading its stdin: that is its right, not a failure of the test.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(stdin ?? "");
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) =>
      resolve({
        code,
        signal,
        stdout: Buffer.concat(out).toString("utf8"),
        stderr: Buffer.concat(err).toString("utf8"),
      }),
    );
  });
}

export interface TestKilnOptions {
  env?: NodeJS.ProcessEnv;
  /** Default: see `defaultKernel`. */
  kernel?: TestKernel;
  /** Others that the root has besides, for `--kernel`. */
  moreKernels?: readonly TestKernel[];
  /** Arguments of kilnd. */
  daemonArgs?: readonly string[];
  /** Words before every command: setpriv, strace. */
  prefix?: readonly string[];
  /** Words before kilnd only. */
  daemonPrefix?: readonly string[];
  /** Another checkout's programs; default: this one's. */
  programs?: { readonly kiln: string; readonly daemon: string };
  /** Another program as kilnd, with this one's command. */
  daemon?: string;
  /** Gives the root to another user. */
  owner?: { readonly uid: number; readonly gid: number };
}

/** A new root that VMs' users can pass through, which kilnd opens for nobody. */
export async function makeRoot(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "kt-"));
  await chmod(root, 0o711);
  return root;
}

export class TestKiln {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
  /** The words that every verb follows. */
  command: readonly string[];
  readonly #options: TestKilnOptions;
  #daemon: ChildProcess | undefined;
  #daemonLog = "";

  private constructor(root: string, options: TestKilnOptions) {
    this.root = root;
    this.env = { ...process.env, ...KILN_NODE, NO_COLOR: "1", ...options.env, KILN_ROOT: root };
    this.command = options.programs === undefined ? KILN : [options.programs.kiln];
    this.#options = options;
  }

  /** A fresh root with the default kernel in it and its daemon running. */
  static async start(options: TestKilnOptions = {}): Promise<TestKiln> {
    const root = await makeRoot();
    const kiln = new TestKiln(root, options);
    await seedKernel(join(root, "data"), options.kernel);
    for (const which of options.moreKernels ?? []) await seedKernel(join(root, "data"), which);
    if (options.owner !== undefined) await giveTo(root, options.owner);
    await kiln.startDaemon();
    return kiln;
  }

  get socket(): string {
    return join(this.root, "run", "kiln.sock");
  }

  get daemonPid(): number {
    assert.ok(this.#daemon?.pid, "kilnd runs");
    return this.#daemon.pid;
  }

  /** How the kilnd that runs now will have ended: the signal, or null where it exits by itself. */
  async daemonEnd(): Promise<NodeJS.Signals | null> {
    assert.ok(this.#daemon, "kilnd runs");
    const [, signal] = await once(this.#daemon, "exit");
    return signal;
  }

  /** What kilnd has printed so far. */
  get daemonLog(): string {
    return this.#daemonLog;
  }

  /** Starts kilnd, or another program as kilnd, and returns once its socket accepts. */
  async startDaemon(other?: string): Promise<void> {
    const { prefix = [], daemonPrefix = [], daemonArgs = [], programs, daemon = DAEMON } = this.#options;
    const program = other ?? programs?.daemon ?? daemon;
    const argv = [...prefix, ...daemonPrefix, process.execPath, "--", program, ...daemonArgs];
    const child = spawn(argv[0] ?? "", argv.slice(1), {
      env: this.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#daemon = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.#daemonLog += chunk.toString("utf8");
      });
    }
    while (!(await accepts(this.socket))) {
      assert.equal(child.exitCode, null, `kilnd ended at start:\n${this.#daemonLog}`);
      await delay(20);
    }
  }

  /** Ends kilnd and waits for it; its VMs go on. */
  async stopDaemon(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#daemon;
    this.#daemon = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await closed;
  }

  async kiln(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const result = await run(this.#command(args), { ...options, env: { ...this.env, ...options.env } });
    if (result.signal !== "SIGKILL") return result;
    const vms = await run(this.#command(["ps", "-a"]), { env: this.env, timeoutMs: 20_000 });
    return { ...result, stderr: `${result.stderr}\nthe VMs then:\n${vms.stdout}${vms.stderr}` };
  }

  /** Runs a verb that must succeed and gives its stdout. */
  async ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.kiln(args, options);
    assert.equal(
      result.code,
      0,
      `kiln ${args.join(" ")} ended ${result.code ?? result.signal}\n${result.stderr}${result.stdout}\n--- kilnd:\n${this.#daemonLog.slice(-4000)}`,
    );
    return result.stdout;
  }

  /** A verb that goes on (run, logs -f, attach), with pipes. */
  spawn(args: readonly string[]): ChildProcess {
    const [program = "", ...rest] = this.#command(args);
    return spawn(program, rest, { env: this.env, stdio: ["pipe", "pipe", "pipe"] });
  }

  #command(args: readonly string[]): string[] {
    return [...(this.#options.prefix ?? []), ...this.command, ...args];
  }

  /**
   * Processes of this root: VMMs and builders, whose command line names it, any kilnd, whose environment does, and servers of
   * shares, which have mapped a file below it.
   */
  async processes(): Promise<{ pid: number; command: string }[]> {
    const found: { pid: number; command: string }[] = [];
    for (const entry of await readdir("/proc")) {
      if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
      const command = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
      const kilnd = command.includes("daemon/main.js");
      const environment = kilnd ? await readFile(`/proc/${entry}/environ`, "utf8").catch(() => "") : "";
      const server = command.includes("kiln-share\0");
      const maps = server ? await readFile(`/proc/${entry}/maps`, "utf8").catch(() => "") : "";
      if (
        [command, maps].some((text) => text.includes(`${this.root}`)) ||
        environment.includes(`KILN_ROOT=${this.root}\0`)
      )
        found.push({ pid: Number(entry), command: command.replaceAll("\0", " ") });
    }
    const kilnds = found.filter(({ command }) => command.includes("daemon/main.js"));
    const children = await copiesAmong(kilnds.map(({ pid }) => pid));
    return found.filter(({ pid }) => !children.includes(pid));
  }

  /** Waits until no VM is left: one run with --rm goes a moment after its client has had its exit code. */
  async untilNoVm(): Promise<void> {
    await eventually("no VM is left", async () => {
      const left = await readdir(join(this.root, "data", "vms"));
      return left.length === 0 ? true : undefined;
    });
  }

  /** Removes all VMs, ends the daemon, checks that nothing is left, removes the root. */
  async dispose(): Promise<void> {
    try {
      if (this.#daemon === undefined) await this.startDaemon();
      const ids = (await this.kiln(["ps", "-aq", "--no-trunc"])).stdout.split("\n").filter((id) => id !== "");
      if (ids.length > 0) await this.kiln(["rm", "-f", ...ids]);
      await this.stopDaemon();
      const left = await this.processes();
      for (const { pid } of left) process.kill(pid, "SIGKILL");
      assert.deepEqual(left, [], "no process of this root is left");
    } finally {
      await this.stopDaemon("SIGKILL");
      await rm(this.root, { recursive: true, force: true });
    }
  }
}

async function giveTo(root: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  for (const path of [root, ...(await readdir(root, { recursive: true })).map((name) => join(root, name))]) {
    // Kernel files are hard links to the set-up's cache: those are world-readable and stay whose they are.
    if ((await stat(path)).isDirectory()) await chown(path, uid, gid);
  }
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

/** Those that another one of them has just forked: until they become another program they look like it. */
export async function copiesAmong(pids: readonly number[]): Promise<number[]> {
  const copies: number[] = [];
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    if (pids.includes(parent)) copies.push(pid);
  }
  return copies;
}

/** kill -9, to the process's end: it is found for a moment more, with its sockets and memory. */
export async function killToTheEnd(pid: number): Promise<void> {
  const id = await identifyProcess(pid);
  assert.ok(id !== undefined, `there is no process ${pid}`);
  process.kill(pid, "SIGKILL");
  await eventually(`process ${pid} has ended`, async () => ((await isAlive(id)) ? undefined : true));
}

/**
 * Waits until `probe` gives something else than undefined; fails with what was waited for. The step is short because
 * what is waited for is somebody else's state (another process, a guest) that gives no event to the test.
 */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  timeoutMs = 180_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (Date.now() > deadline) assert.fail(`waited ${timeoutMs} ms in vain for: ${what}`);
    await delay(25);
  }
}

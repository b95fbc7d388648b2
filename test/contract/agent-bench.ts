// The real agent as an ordinary process on a unix socket (`--serve-on`, compiled in for tests only), and what the
// agent's contract tests do with it again and again.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { delay } from "../../src/base/runtime.js";
import { type ExitStatus, type ProcessSpecSchema, Stream } from "../../src/gen/kiln/agent/v1/common_pb.js";
import type { ExecRequestSchema } from "../../src/gen/kiln/agent/v1/workload_pb.js";
import { openWire, type WireSession } from "../fixtures/agent-wire.js";
import { CHECKOUT } from "../fixtures/assets.js";

export type ProcessSpec = MessageInitShape<typeof ProcessSpecSchema>;
export type ExecRequest = MessageInitShape<typeof ExecRequestSchema>;
export const ENV = ["PATH=/usr/local/bin:/usr/bin:/bin"];

let built: string | undefined;

/** Builds the agent with its test door; a second build in one checkout takes no time. */
export function hostAgent(): string {
  if (built === undefined) {
    const args = ["build", "--quiet", "--locked", "-p", "kiln-agent", "--features", "host-test"];
    execFileSync("cargo", args, { cwd: join(CHECKOUT, "agent"), stdio: ["ignore", "ignore", "inherit"] });
    built = join(CHECKOUT, "agent/target/debug/kiln-agent");
  }
  return built;
}

/** Why these tests cannot run here, or false: the agent's test build needs cargo, a packaged agent does not. */
export function skipWithoutCargo(): string | false {
  try {
    execFileSync("cargo", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "there is no cargo to build the agent's test door with";
  }
}

/** Also not where the agent is not root, as it is in its guest: it gives every process its user and groups. */
export function skipWithoutRoot(): string | false {
  return process.getuid?.() === 0
    ? skipWithoutCargo()
    : "the agent's processes get their users from root only";
}

export class AgentBench implements AsyncDisposable {
  /** Private; gone at the end. */
  readonly root: string;
  readonly process: ChildProcess;
  readonly #socket: string;
  readonly #sessions: WireSession[] = [];

  private constructor(root: string, process: ChildProcess) {
    this.root = root;
    this.process = process;
    this.#socket = join(root, "channel");
  }

  /** @param env added to the agent's environment */
  static async open(env: NodeJS.ProcessEnv = {}): Promise<AgentBench> {
    const root = await mkdtemp(join(tmpdir(), "ka-"));
    const socket = join(root, "channel");
    const child = spawn(hostAgent(), ["--serve-on", socket], {
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, ...env },
    });
    return new AgentBench(root, child);
  }

  /** One raw connection; waits for the agent to listen. */
  async dial(): Promise<Socket> {
    for (;;) {
      const socket = connect(this.#socket);
      try {
        await once(socket, "connect");
        return socket;
      } catch {
        assert.equal(this.process.exitCode, null, "the agent has ended");
        await delay(5);
      }
    }
  }

  /** A session; the agent serves one at a time. */
  async session(): Promise<WireSession> {
    const session = await openWire(() => this.dial(), { helloTimeoutMs: 20_000 });
    this.#sessions.push(session);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session.close();
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const gone = once(this.process, "exit");
      this.process.kill("SIGKILL");
      await gone;
    }
    await rm(this.root, { recursive: true, force: true });
  }
}

export interface Outcome {
  readonly pid: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: ExitStatus | undefined;
}

export interface RunOptions {
  readonly spec?: ProcessSpec;
  readonly input?: AsyncIterable<ExecRequest> | Iterable<ExecRequest>;
  readonly signal?: AbortSignal;
  readonly onOutput?: (text: string) => void;
}

/** Runs one exec to its end. */
export async function run(session: WireSession, args: string[], options: RunOptions = {}): Promise<Outcome> {
  const start: ProcessSpec = { args, env: ENV, ...options.spec };
  async function* requests(): AsyncGenerator<ExecRequest> {
    yield { message: { case: "start", value: start } };
    if (options.input !== undefined) yield* options.input;
  }
  const call = options.signal === undefined ? {} : { signal: options.signal };
  const text: Record<number, Buffer[]> = { [Stream.STDOUT]: [], [Stream.STDERR]: [] };
  let pid: number | undefined;
  let exit: ExitStatus | undefined;
  for await (const { message } of session.client.exec(requests(), call)) {
    if (message.case === "startedPid") pid = message.value;
    else if (message.case === "exit") exit = message.value;
    else if (message.case === "data") {
      assert.ok(message.value.data.length <= 64 * 1024, "a message holds at most 64 KiB");
      text[message.value.stream]?.push(Buffer.from(message.value.data));
      options.onOutput?.(Buffer.from(message.value.data).toString());
    }
  }
  const joined = (stream: Stream) => Buffer.concat(text[stream] ?? []).toString();
  return { pid, stdout: joined(Stream.STDOUT), stderr: joined(Stream.STDERR), exit };
}

/** True while the process runs; a zombie does not. */
export function runs(pid: number): boolean {
  try {
    const state = execFileSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" });
    return !state.trim().startsWith("Z");
  } catch {
    return false;
  }
}

/** Waits for what another process does; the test's own time limit bounds it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(10);
}

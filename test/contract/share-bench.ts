// A real kiln-share on a directory of its own, started as kilnd starts it, with the test in the VMM's place.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync } from "node:fs";
import { chown, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deferred } from "../../src/base/runtime.js";
import { CHECKOUT } from "../fixtures/assets.js";
import { NineCalls } from "../fixtures/nine-calls.js";
import { NineClient, NO_FID, T, text, u16, u32 } from "../fixtures/nine-client.js";

const O_PATH = 0o10000000;
/** Whose the directory is where the test is root: the server never is. */
const OWNER = 12_345;

let built: string | undefined;

/** Builds the server with its test door; a second build in one checkout takes no time. */
export function testShare(): string {
  if (built === undefined) {
    const args = ["build", "--quiet", "--locked", "-p", "kiln-share", "--features", "host-test"];
    execFileSync("cargo", args, { cwd: join(CHECKOUT, "agent"), stdio: ["ignore", "ignore", "inherit"] });
    built = join(CHECKOUT, "agent/target/debug/kiln-share");
  }
  return built;
}

export interface ShareOptions {
  /** More of its command line. */
  readonly args?: readonly string[];
  /** As whom it runs; default the directory's owner. */
  readonly uid?: number;
  readonly env?: NodeJS.ProcessEnv;
  /** A program that runs it, with its arguments. */
  readonly within?: readonly string[];
  /** Whose the directory is; default nobody in particular. */
  readonly owner?: number;
  /** It listens and the test connects, as Firecracker does. */
  readonly listens?: boolean;
  /** A VMM's socket, where the test is not in its place. */
  readonly socket?: string;
}

export class ShareBench implements AsyncDisposable {
  /** What only the test may touch. */
  readonly top: string;
  /** The shared directory. */
  readonly root: string;
  /** Beside it: what the guest must never see. */
  readonly outside: string;
  readonly #options: ShareOptions;
  readonly #server: Server;
  readonly #sockets: Socket[] = [];
  readonly #waiting: ((socket: Socket) => void)[] = [];
  #process: ChildProcess | undefined;

  private constructor(top: string, options: ShareOptions) {
    this.top = top;
    this.root = join(top, "share");
    this.outside = join(top, "outside");
    this.#options = options;
    this.#server = createServer((socket) => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#sockets.push(socket);
      else next(socket);
    });
  }

  static async open(options: ShareOptions = {}): Promise<ShareBench> {
    const bench = new ShareBench(await mkdtemp(join(tmpdir(), "ks-")), options);
    for (const path of [bench.root, bench.outside]) {
      await mkdir(path);
      await bench.give(path);
    }
    await bench.give(bench.top);
    if (options.socket === undefined) {
      bench.#server.listen(bench.socket);
      await once(bench.#server, "listening");
    }
    await bench.give(bench.socket);
    if (options.listens === true) await bench.#listen();
    else bench.start();
    return bench;
  }

  get socket(): string {
    return this.#options.socket ?? join(this.top, "vmm.sock");
  }

  /** To the server's user. */
  async give(path: string): Promise<void> {
    const owner = this.#options.owner ?? OWNER;
    if (process.getuid?.() === 0) await chown(path, owner, owner);
  }

  /** Where it listens. */
  get listening(): string {
    return join(this.top, "share.sock");
  }

  /** A socket that listens, for the server alone: this process never accepts. */
  async #listen(): Promise<void> {
    const server = createServer();
    const path = `${this.listening}.new`;
    server.listen(path);
    await once(server, "listening");
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    this.start({}, ["--listen-fd", "5"], fd);
    // Its end takes the name along that it knows.
    await rename(path, this.listening);
    server.close();
  }

  /** Another server, as after the death of one. @param env added to its environment */
  start(env: NodeJS.ProcessEnv = {}, way = ["--connect-fd", "5"], peer?: number): ChildProcess {
    const root = openSync(this.root, O_PATH | constants.O_DIRECTORY);
    const ledger = openSync(join(this.top, "ledger"), constants.O_RDWR | constants.O_CREAT, 0o600);
    const vmm = openSync(this.socket, O_PATH);
    const args = ["--root-fd", "3", "--ledger-fd", "4", ...way, ...(this.#options.args ?? [])];
    const uid = this.#options.uid ?? (process.getuid?.() === 0 ? OWNER : undefined);
    const [program = "", ...words] = [...(this.#options.within ?? []), testShare(), ...args];
    const child = spawn(program, words, {
      stdio: ["ignore", "ignore", "pipe", root, ledger, peer ?? vmm],
      env: { ...this.#options.env, ...env },
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    for (const fd of [root, ledger, vmm]) closeSync(fd);
    this.#process = child;
    return child;
  }

  get process(): ChildProcess {
    assert.ok(this.#process !== undefined, "no server was started");
    return this.#process;
  }

  /** Ends it as nothing can be prepared for. */
  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }

  /** How it ended, and its words. */
  async ended(): Promise<{ code: number | null; words: string }> {
    let words = "";
    this.process.stderr?.on("data", (bytes) => {
      words += bytes;
    });
    const [code] = await once(this.process, "close");
    return { code, words };
  }

  /** The next connection that the server makes. */
  async accept(): Promise<Socket> {
    const socket = this.#sockets.shift();
    if (socket !== undefined) return socket;
    const { promise, resolve } = deferred<Socket>();
    this.#waiting.push(resolve);
    return promise;
  }

  async client(resumed = false): Promise<NineClient> {
    return NineClient.open(await this.accept(), resumed);
  }

  /** A connection with the root attached as fid 0. */
  async calls(msize?: number): Promise<NineCalls> {
    const calls = new NineCalls(await this.client());
    await calls.start(msize);
    return calls;
  }

  /** Another server is there: makes again what the guest held, as the bridge does. @param fids by number, their paths */
  async resume(fids: Readonly<Record<number, readonly string[]>> = {}): Promise<NineClient> {
    const client = await this.client(true);
    await client.askAside(T.version, [u32(512 * 1024), text("9P2000.L")], 0xffff);
    await client.askAside(T.attach, [u32(0), u32(NO_FID), text(""), text(""), u32(0)]);
    for (const [fid, path] of Object.entries(fids))
      await client.askAside(T.walk, [u32(0), u32(Number(fid)), u16(path.length), ...path.map(text)]);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await rm(this.top, { recursive: true, force: true });
  }
}

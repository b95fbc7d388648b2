// A stand-in for `firecracker` on hosts without KVM: the same command line, API, sockets, files and exit statuses, with
// QEMU under software emulation as the machine. Stricter than the real one, never laxer: what passes here must not
// fail there for its form. For tests only.

import { constants, existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { deferred, delay } from "../../src/base/runtime.js";
import { createApi } from "./api.js";
import { ArgumentError, parseArguments, type StandinArguments } from "./arguments.js";
import { Microvm } from "./microvm.js";
import { ActionError } from "./refusals.js";
import { type Body, BodyError, readConfigFile } from "./schema.js";

// Not 1.16: its pause cuts a guest off, which this one does not.
const VERSION = "1.15.1";
const API_FIRST_MS = 25;
const EXIT = { ok: 0, generic: 1, badConfiguration: 152, badArguments: 153 } as const;

/** Writes without waiting; a full FIFO loses bytes, as it does with the real one. */
class Sink {
  readonly #fd: number;

  /** @param target a path, or a descriptor that does not block */
  constructor(target: string | number) {
    const flags = constants.O_RDWR | constants.O_NONBLOCK | constants.O_CREAT | constants.O_APPEND;
    this.#fd = typeof target === "number" ? target : openSync(target, flags);
  }

  write(data: Uint8Array): void {
    try {
      for (let rest = data; rest.length > 0; ) rest = rest.subarray(writeSync(this.#fd, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
}

/**
 * In a jailer's jail, absolute paths are below the jail's root, which is also the working directory. Where there is no jail
 * they are descriptors of ours, which QEMU does not inherit.
 */
function inJail(path: string): string {
  if (process.env.FC_STANDIN_ROOT !== undefined) return path.replace(/^\//, "./");
  return path.replace(/^\/proc\/self\//, `/proc/${process.pid}/`);
}

/** The fields of bodies that hold paths. */
function withPathsInJail(body: Body): Body {
  const paths = ["kernel_image_path", "initrd_path", "path_on_host", "uds_path"];
  const inner = Object.entries(body).map(([name, value]) => [
    name,
    paths.includes(name) ? inJail(String(value)) : value,
  ]);
  return Object.fromEntries(inner);
}

class Standin {
  readonly #id: string;
  readonly #log: Sink | undefined;
  readonly #metrics: Sink | undefined;
  readonly #console: Sink;
  #isAsked = false;
  readonly vm: Microvm;

  constructor({ values }: StandinArguments) {
    this.#id = values.get("id") ?? "anonymous-instance";
    const [log, metrics] = [values.get("log-path"), values.get("metrics-path")];
    this.#log = log === undefined ? undefined : new Sink(inJail(log));
    this.#metrics = metrics === undefined ? undefined : new Sink(inJail(metrics));
    this.#console = new Sink(1);
    this.vm = new Microvm(
      {
        onConsole: (chunk) => this.#console.write(chunk),
        onReset: () => this.end(EXIT.ok),
        onFailure: (why) => {
          this.say(why);
          this.end(EXIT.generic);
        },
      },
      metrics !== undefined,
    );
  }

  say(text: string): void {
    this.#log?.write(Buffer.from(`${new Date().toISOString()} [${this.#id}:main] ${text}\n`));
  }

  flushMetrics(): void {
    const block = { read_bytes: 0, write_bytes: 0 };
    const line = { utc_timestamp_ms: Date.now(), block, net: { rx_bytes_count: 0, tx_bytes_count: 0 } };
    this.#metrics?.write(Buffer.from(`${JSON.stringify(line)}\n`));
  }

  end(code: number): never {
    this.say(
      code === EXIT.ok
        ? "Firecracker exiting successfully. exit_code=0"
        : `Firecracker exiting with error. exit_code=${code}`,
    );
    process.exit(code);
  }

  async run({ flags, values }: StandinArguments): Promise<void> {
    this.say(`Running Firecracker v${VERSION}`);
    const config = values.get("config-file");
    const started = deferred<void>();
    if (!flags.has("no-api"))
      await this.#serve(inJail(values.get("api-sock") ?? "/run/firecracker.socket"), started.promise);
    if (config !== undefined) {
      // The real one answers at its socket some time before its guest runs, or fails to.
      await delay(API_FIRST_MS);
      await this.#boot(inJail(config));
    }
    started.resolve();
  }

  async #boot(path: string): Promise<void> {
    try {
      for (const [shape, body] of readConfigFile(readFileSync(path, "utf8")))
        this.vm.configure(shape, withPathsInJail(body));
      await this.vm.start();
      this.say("Successfully started microvm that was configured from one single json");
      this.flushMetrics();
    } catch (error) {
      // The real one's API panics on an answer that will never come, before the reason is written.
      if (this.#isAsked) {
        this.say(
          "Firecracker panicked at src/firecracker/src/api_server/mod.rs; VMM disconnected: RecvError",
        );
        process.kill(process.pid, "SIGABRT");
      }
      const known =
        error instanceof BodyError || error instanceof ActionError || error instanceof SyntaxError;
      this.say(`Configuration for VMM from one single json failed: ${(error as Error).message}`);
      // As the real one: what is wrong in the file is an error, a file that can't be read is a panic.
      if (!known) process.abort();
      this.end(EXIT.generic);
    }
  }

  #serve(path: string, ready: Promise<void>): Promise<void> {
    if (existsSync(path)) {
      this.say(`Failed to open the API socket at: ${path}. Check that it is not already used.`);
      this.end(EXIT.generic);
    }
    const facts = {
      id: this.#id,
      version: VERSION,
      flushMetrics: () => this.flushMetrics(),
      waits: () => {
        this.#isAsked = true;
      },
      endSoon: () => setImmediate(() => this.end(EXIT.generic)),
    };
    const server = createApi(this.vm, facts, ready);
    server.keepAliveTimeout = 0;
    server.headersTimeout = 0;
    server.requestTimeout = 0;
    return new Promise((resolve) => server.listen(path, resolve));
  }
}

async function main(): Promise<void> {
  let args: StandinArguments;
  try {
    args = parseArguments(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    process.stderr.write(`Error: ParseArguments(${error.message})\n`);
    if (error.kind === "panic") process.abort();
    process.exit(error.kind === "level" ? EXIT.badConfiguration : EXIT.badArguments);
  }
  if (args.flags.has("help")) {
    process.stdout.write("firecracker [options]\n");
    return;
  }
  if (args.flags.has("version")) {
    process.stdout.write(`Firecracker v${VERSION}\n\n`);
    return;
  }
  await new Standin(args).run(args);
}

await main();

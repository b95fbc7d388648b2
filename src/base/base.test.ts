import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Code, codeFromString, codeToString, KilnError } from "./errors.js";
import { readJson, writeJsonAtomic } from "./files.js";
import { generateName, isValidName, newId, resolveNamed, shortId } from "./ids.js";
import { KeyedLock, Semaphore } from "./lock.js";
import { createLogger } from "./log.js";
import { kilnPaths, MAX_SOCKET_PATH, vmRunDirectory } from "./paths.js";
import { identifyProcess, isAlive } from "./processes.js";
import { deferred } from "./runtime.js";
import { UndoStack } from "./undo.js";
import { formatAge, formatMemory, formatSize, parseDuration, parseSize } from "./units.js";

describe("KilnError", () => {
  it("keeps code, reason and hint when context is added", () => {
    const inner = new KilnError(Code.NotFound, "no such tag", {
      reason: "image-not-found",
      hint: "look again",
    });
    const outer = KilnError.from(inner, "pull alpine:nope");
    assert.equal(outer.code, Code.NotFound);
    assert.equal(outer.reason, "image-not-found");
    assert.equal(outer.hint, "look again");
    assert.equal(outer.message, "pull alpine:nope: no such tag");
    assert.equal(outer.cause, inner);
  });

  it("maps system errors to the nearest code", () => {
    const full = Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    assert.equal(KilnError.from(full).code, Code.ResourceExhausted);
    assert.equal(KilnError.from(full).reason, "host-disk-full");
  });

  it("tells a time-out from a cancellation", () => {
    assert.equal(KilnError.from(new DOMException("late", "TimeoutError")).code, Code.DeadlineExceeded);
    assert.equal(KilnError.from(new DOMException("stop", "AbortError")).code, Code.Cancelled);
  });

  it("names every code and finds it again", () => {
    for (const code of Object.values(Code)) assert.equal(codeFromString(codeToString(code)), code);
    assert.equal(codeToString(Code.FailedPrecondition), "failed_precondition");
  });
});

describe("UndoStack", () => {
  it("releases newest first, once", async () => {
    const order: number[] = [];
    const undo = new UndoStack();
    undo.push("one", () => void order.push(1));
    undo.push("two", () => void order.push(2));
    await undo.rollback();
    await undo.rollback();
    assert.deepEqual(order, [2, 1]);
  });

  it("keeps everything after commit", async () => {
    let released = false;
    const undo = new UndoStack();
    undo.push("it", () => {
      released = true;
    });
    undo.commit();
    await undo[Symbol.asyncDispose]();
    assert.equal(released, false);
  });

  it("runs the rest when one release fails, then says which failed", async () => {
    let other = false;
    const undo = new UndoStack();
    undo.push("other", () => {
      other = true;
    });
    undo.push("close the file", () => {
      throw new Error("broken");
    });
    await assert.rejects(undo.rollback(), /close the file: broken/);
    assert.equal(other, true);
  });
});

describe("locks", () => {
  it("runs bodies of one key in turn and other keys beside them", async () => {
    const lock = new KeyedLock();
    const gate = deferred<void>();
    const order: string[] = [];
    const first = lock.run("a", async () => {
      await gate.promise;
      order.push("a1");
    });
    const second = lock.run("a", async () => void order.push("a2"));
    await lock.run("b", async () => void order.push("b"));
    gate.resolve();
    await Promise.all([first, second]);
    assert.deepEqual(order, ["b", "a1", "a2"]);
  });

  it("goes on after a body that throws", async () => {
    const lock = new KeyedLock();
    await assert.rejects(lock.run("a", () => Promise.reject(new Error("no"))));
    assert.equal(await lock.run("a", async () => 7), 7);
  });

  it("never runs more bodies than the semaphore's limit, and an aborted waiter leaves the queue", async () => {
    const semaphore = new Semaphore(2);
    const gate = deferred<void>();
    let running = 0;
    let most = 0;
    const body = async () => {
      most = Math.max(most, ++running);
      await gate.promise;
      running--;
    };
    const all = [semaphore.run(body), semaphore.run(body), semaphore.run(body)];
    const abort = new AbortController();
    const aborted = semaphore.run(body, abort.signal);
    abort.abort(new Error("changed my mind"));
    await assert.rejects(aborted, /changed my mind/);
    gate.resolve();
    await Promise.all(all);
    assert.equal(most, 2);
  });
});

describe("units", () => {
  it("reads sizes as Docker's -m does", () => {
    assert.equal(parseSize("512m"), 512 * 1024 ** 2);
    assert.equal(parseSize("2GiB"), 2 * 1024 ** 3);
    assert.equal(parseSize("1.5g"), 1.5 * 1024 ** 3);
    assert.equal(parseSize("100"), 100);
    assert.throws(() => parseSize("lots", "--memory"), /--memory "lots" is not a size/);
    assert.throws(() => parseSize("-1m"), KilnError);
  });

  it("never gives anything but a safe whole number or an error", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          assert.ok(Number.isSafeInteger(parseSize(text)));
        } catch (error) {
          assert.ok(error instanceof KilnError);
        }
      }),
    );
  });

  it("shows sizes and ages in few characters", () => {
    assert.equal(formatSize(1_234_567), "1.23MB");
    assert.equal(formatSize(999), "999B");
    assert.equal(formatMemory(512 * 1024 ** 2), "512MiB");
    assert.equal(formatAge(61_000), "1 minute");
    assert.equal(formatAge(2 * 86_400_000), "2 days");
    const days = (count: number) => formatAge(count * 86_400_000);
    assert.deepEqual([13, 14, 59, 60, 729, 730].map(days), [
      "13 days",
      "2 weeks",
      "8 weeks",
      "2 months",
      "24 months",
      "2 years",
    ]);
  });

  it("reads durations with and without units", () => {
    assert.equal(parseDuration("10"), 10_000);
    assert.equal(parseDuration("1m30s"), 90_000);
    assert.equal(parseDuration("250ms"), 250);
    assert.throws(() => parseDuration("soon"), KilnError);
  });
});

describe("ids and names", () => {
  const all = [
    { id: `ab${newId().slice(2)}`, name: "one" },
    { id: `ac${newId().slice(2)}`, name: "two" },
  ];

  it("finds by id, name and unique prefix", () => {
    assert.equal(resolveNamed("VM", "one", all), all[0]);
    assert.equal(resolveNamed("VM", "ac", all), all[1]);
    assert.throws(() => resolveNamed("VM", "a", all), /ambiguous/);
    assert.throws(() => resolveNamed("VM", "zz", all), /no such VM: zz/);
  });

  it("prefers a name to a prefix", () => {
    const named = { id: newId(), name: "ac" };
    assert.equal(resolveNamed("VM", "ac", [...all, named]), named);
  });

  it("generates valid names, also when all plain pairs are taken", () => {
    assert.ok(isValidName(generateName(() => false)));
    assert.match(
      generateName((name) => /_[a-z]+$/.test(name)),
      /_\d+$/,
    );
    assert.equal(isValidName("-x"), false);
    assert.equal(isValidName("a".repeat(64)), false);
  });

  it("shortens digests and ids alike", () => {
    assert.equal(shortId(`sha256:${"ab".repeat(32)}`), "abababababab");
  });
});

describe("files", () => {
  it("replaces a file in one step and leaves nothing in the making", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kiln-base-"));
    try {
      const path = join(directory, "vm.json");
      await writeJsonAtomic(path, { a: 1 });
      await writeJsonAtomic(path, { a: 2 });
      assert.deepEqual(await readJson(path), { a: 2 });
      assert.deepEqual(await readdir(directory), ["vm.json"]);
      assert.equal(await readJson(join(directory, "none.json")), undefined);
      assert.match(await readFile(path, "utf8"), /\n$/);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("paths", () => {
  it("moves everything with KILN_ROOT", () => {
    const paths = kilnPaths({ KILN_ROOT: "/x" }, 0);
    assert.deepEqual(paths, {
      data: "/x/data",
      run: "/x/run",
      config: "/x/config",
      socket: "/x/run/kiln.sock",
    });
  });

  it("uses the system's places for root and XDG's for others", () => {
    assert.equal(kilnPaths({}, 0).socket, "/run/kiln/kiln.sock");
    const user = kilnPaths({ HOME: "/home/u", XDG_RUNTIME_DIR: "/run/user/7" }, 7);
    assert.equal(user.data, "/home/u/.local/share/kiln");
    assert.equal(user.socket, "/run/user/7/kiln/kiln.sock");
  });

  it("puts a user's sockets where no neighbour can be first", () => {
    const home = { HOME: "/home/u" };
    const run = (env: NodeJS.ProcessEnv, runtime?: string) => kilnPaths(env, 7, () => runtime).run;
    assert.equal(run(home, "/run/user/7"), "/run/user/7/kiln");
    assert.equal(run({ ...home, XDG_RUNTIME_DIR: "/x" }, "/run/user/7"), "/x/kiln");
    assert.equal(run({ ...home, XDG_RUNTIME_DIR: "" }, "/run/user/7"), "/run/user/7/kiln");
    assert.equal(run(home), "/home/u/.local/state/kiln/run");
    assert.equal(run({ ...home, XDG_STATE_HOME: "/s" }), "/s/kiln/run");
    assert.equal(run({ ...home, XDG_STATE_HOME: "relative" }), "/home/u/.local/state/kiln/run");
  });

  it("keeps VM sockets below the limit of sun_path", () => {
    const socket = join(vmRunDirectory("/run/user/1000/kiln", newId()), "channel.sock");
    assert.ok(socket.length <= MAX_SOCKET_PATH);
  });
});

describe("processes", () => {
  it("knows this process by pid and start time, and not by another start time", async () => {
    const me = await identifyProcess(process.pid);
    assert.ok(me);
    assert.equal(await isAlive(me), true);
    assert.equal(await isAlive({ pid: process.pid, startTime: "1" }), false);
  });
});

describe("log", () => {
  it("writes one line per record, quoted where needed", () => {
    const lines: string[] = [];
    const log = createLogger({
      level: "info",
      format: "logfmt",
      journald: false,
      write: (line) => void lines.push(line),
    });
    log.debug("hidden");
    log.with({ vm: "ab" }).warn("went away", { why: 'said "no"\nleft' });
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /level=warn msg="went away" vm=ab why="said \\"no\\"\\nleft"\n$/);
  });
});

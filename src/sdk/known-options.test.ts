import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { Code, KilnError } from "../base/errors.js";
import { Kiln } from "./kiln.js";
import type { Vm } from "./vm.js";
import type { VmProcess } from "./vm-process.js";

let kilnd: FakeKilnd;
let kiln: Kiln;
let vm: Vm;
let job: VmProcess;

before(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
  kiln = await Kiln.connect({ host: kilnd.host });
  vm = await kiln.vms.get("web");
  job = await vm.processes.start(["job"]);
});

after(async () => {
  await kiln.close();
  await kilnd.close();
});

type Call = (options: object) => unknown;
const none: Uint8Array[] = [];

/** Every public method that takes options. */
const CALLS: Readonly<Record<string, Call>> = {
  connect: (options) => Kiln.connect({ host: kilnd.host, ...options }),
  run: (options) => kiln.run("alpine", options),
  create: (options) => kiln.create("alpine", options),
  version: (options) => kiln.version(options),
  info: (options) => kiln.info(options),
  df: (options) => kiln.df(options),
  prune: (options) => kiln.prune(options),
  events: (options) => kiln.events(options).next(),
  "vms.get": (options) => kiln.vms.get("web", options),
  "vms.list": (options) => kiln.vms.list(options),
  "vms.run": (options) => kiln.vms.run("alpine", options),
  "vms.create": (options) => kiln.vms.create("alpine", options),
  "vms.stats": (options) => kiln.vms.stats([], options).next(),
  "images.pull": (options) => kiln.images.pull("alpine", options),
  "images.list": (options) => kiln.images.list(options),
  "images.get": (options) => kiln.images.get("alpine", options),
  "images.import": (options) => kiln.images.import(none, "mine", options),
  "images.save": (options) => kiln.images.save(["alpine"], options).next(),
  "images.tag": (options) => kiln.images.tag("alpine", "mine", options),
  "images.remove": (options) => kiln.images.remove("alpine", options),
  "images.prune": (options) => kiln.images.prune(options),
  "kernels.list": (options) => kiln.kernels.list(options),
  "kernels.import": (options) => kiln.kernels.import("debian", options),
  "kernels.build": (options) => kiln.kernels.build(options),
  "kernels.remove": (options) => kiln.kernels.remove("debian", options),
  inspect: (options) => vm.inspect(options),
  start: (options) => vm.start(options),
  stop: (options) => vm.stop(options),
  restart: (options) => vm.restart(options),
  kill: (options) => vm.kill("KILL", options),
  pause: (options) => vm.pause(options),
  unpause: (options) => vm.unpause(options),
  update: (options) => vm.update({ lifetimeMs: 1 }, options),
  "update's changes": (options) => vm.update({ lifetimeMs: 1, ...options }),
  remove: (options) => vm.remove(options),
  wait: (options) => vm.wait(options),
  exec: (options) => vm.exec(["true"], options),
  spawn: (options) => vm.spawn(["true"], options),
  attach: (options) => vm.attach(options).exit(),
  logs: (options) => vm.logs(options).next(),
  stats: (options) => vm.stats(options).next(),
  "processes.start": (options) => vm.processes.start(["true"], options),
  "processes.get": (options) => vm.processes.get(job.id, options),
  "processes.list": (options) => vm.processes.list(options),
  "process.inspect": (options) => job.inspect(options),
  "process.logs": (options) => job.logs(options).next(),
  "process.wait": (options) => job.wait(options),
  "process.kill": (options) => job.kill("KILL", options),
  "process.remove": (options) => job.remove(options),
  "ports.list": (options) => vm.ports.list(options),
  "ports.add": (options) => vm.ports.add("80", options),
  "ports.remove": (options) => vm.ports.remove("80", options),
  "fs.stat": (options) => vm.fs.stat("/", options),
  "fs.exists": (options) => vm.fs.exists("/", options),
  "fs.list": (options) => vm.fs.list("/", options),
  "fs.mkdir": (options) => vm.fs.mkdir("/x", options),
  "fs.remove": (options) => vm.fs.remove("/x", options),
  "fs.rename": (options) => vm.fs.rename("/x", "/y", options),
  "fs.watch": (options) => vm.fs.watch("/", options),
  "fs.read": (options) => vm.fs.read("/x", options),
  "fs.readText": (options) => vm.fs.readText("/x", options),
  "fs.write": (options) => vm.fs.write("/x", "", options),
  "fs.copyIn": (options) => vm.fs.copyIn(import.meta.filename, "/x", options),
  "fs.copyOut": (options) => vm.fs.copyOut("/x", "/nonexistent/x", options),
  "fs.copyTo": (options) => vm.fs.copyTo("/x", vm.fs, "/y", options),
  "fs.readArchive": (options) => vm.fs.readArchive("/x", options).next(),
  "fs.writeArchive": (options) => vm.fs.writeArchive("/x", none, options),
};

/** What is told; awaiting covers what throws at once. */
async function refusalOf(call: Call, options: object): Promise<KilnError> {
  try {
    await call(options);
  } catch (error) {
    assert.ok(error instanceof KilnError, String(error));
    assert.equal(error.code, Code.InvalidArgument, error.message);
    return error;
  }
  return assert.fail("it was taken");
}

describe("an option that there is not", () => {
  for (const [name, call] of Object.entries(CALLS)) {
    it(`is refused by ${name}, before kilnd is asked`, async () => {
      const before = kilnd.calls.length;
      const error = await refusalOf(call, { bogusOption: 1 });
      assert.equal(error.reason, "unknown-option");
      assert.match(error.message, /there is no option "bogusOption"/);
      assert.match(error.hint ?? "", /there are: |did you mean/);
      assert.equal(kilnd.calls.length, before);
    });
  }

  it("is refused with the nearest that there is", async () => {
    for (const [name, given, meant] of [
      ["run", "memroy", "memory"],
      ["create", "workDir", "workdir"],
      ["exec", "timeout", "timeoutMs"],
      ["images.pull", "plainHTTP", "plainHttp"],
      ["fs.write", "timeoutms", "timeoutMs"],
    ] as const) {
      const error = await refusalOf(CALLS[name] as Call, { [given]: 1 });
      assert.equal(error.hint, `did you mean ${meant}?`);
    }
  });

  it("is refused inside of others", async () => {
    for (const options of [
      { publish: [{ vmport: 80 }] },
      { restart: { name: "always", retries: 1 } },
      { ttySize: { columns: 1, rows: 1, cols: 2 } },
    ]) {
      assert.equal((await refusalOf(CALLS.run as Call, options)).reason, "unknown-option");
    }
    const restart = { name: "always", retries: 1 };
    assert.equal((await refusalOf(CALLS["processes.start"] as Call, { restart })).reason, "unknown-option");
    const auths = { "registry.test": { user: "x" } };
    assert.equal((await refusalOf(CALLS["images.pull"] as Call, { auths })).reason, "unknown-option");
  });

  it("does not matter where it is undefined", async () => {
    assert.equal((await kiln.vms.list({ bogusOption: undefined, all: true } as object)).length, 1);
  });

  it("is not mistaken for what is no options at all", async () => {
    for (const given of ["x", ["x"], null, 5]) {
      assert.equal((await refusalOf(CALLS.df as Call, given as object)).reason, "bad-options");
    }
  });
});

/** A method of a declaration, with the type of its options. */
const WITH_OPTIONS = /^ {4}(?:static )?(\w+)\([^()]*?\boptions\?: ([^)]*)\)/gm;

describe("the door", () => {
  it("exports the type of every method's options, and the test above calls every such method", async () => {
    const types = (await readdir(import.meta.dirname)).filter((name) =>
      /^(?!index|.*\.test).*\.d\.ts$/.test(name),
    );
    const door = await readFile(join(import.meta.dirname, "index.d.ts"), "utf8");
    const found = new Set<string>();
    const methods = new Set<string>();
    for (const file of types) {
      const text = await readFile(join(import.meta.dirname, file), "utf8");
      for (const [, name, body = ""] of text.matchAll(/^export declare class (\w+)([\s\S]*?)^}/gm)) {
        if (!new RegExp(`\\b${name}\\b`).test(door)) continue;
        for (const [, method = "", type = ""] of body.matchAll(WITH_OPTIONS)) {
          found.add(type);
          methods.add(method);
        }
      }
    }
    const called = new Set(Object.keys(CALLS).map((name) => name.replace(/^.*\./, "")));
    assert.ok(found.size > 25, [...found].join());
    for (const type of found) assert.match(door, new RegExp(`\\b${type.replace(/\W/g, "\\$&")}\\b`));
    // What kiln's own CLI asks, of which the SDK's pages say nothing.
    for (const own of ["source", "target", "targetNow"]) methods.delete(own);
    assert.deepEqual(
      [...methods].filter((method) => !called.has(method)),
      [],
    );
  });
});

// What is written now, read by a kilnd that knows less: each field of each record in turn is one that the reader has
// never heard of. It reads the rest, complains of nothing, and what it writes back is what it read.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import * as v from "valibot";
import { openObject, parseVersioned, type RecordKind } from "../../src/base/versioned.js";
import { COW } from "../../src/disk/cow.js";
import { BASE } from "../../src/engine/disks/bases.js";
import { NETWORK_RECORD } from "../../src/engine/networks/record.js";
import { PENDING } from "../../src/engine/run/pending-copies.js";
import { VM_RECORD } from "../../src/engine/vm/record.js";
import { VM_STATUS } from "../../src/engine/vm/status.js";
import { VOLUME_RECORD, VOLUME_STATUS } from "../../src/engine/volumes/record.js";
import { WORKLOAD_RECORD, WORKLOAD_STATUS } from "../../src/engine/workload/record.js";
import { IMAGE, NAMES } from "../../src/image/store/records.js";
import { BUILD } from "../../src/kernel/build/built.js";
import { DEFAULT, KERNEL } from "../../src/kernel/store.js";
import { CHECKOUT } from "../fixtures/assets.js";
import { damageFile, OTHER_RELEASE } from "../fixtures/damage.js";
import { configOf, createWorld, destroyWorld, startEngine } from "../fixtures/fake-rooms.js";
import { A, B, CONFIG, PORT, TIME } from "../fixtures/written-config.js";

/** What is looked at of a schema of valibot's. */
interface Shape {
  readonly type: string;
  readonly entries?: Readonly<Record<string, Shape>>;
  /** Of what may be missing. */
  readonly wrapped?: Shape;
  readonly default?: unknown;
  /** Of a list. */
  readonly item?: Shape;
  /** Of a map. */
  readonly key?: Shape;
  readonly value?: Shape;
}

type Json = { [key: string]: unknown };
type AnyKind = RecordKind<{ version: number }>;

const CAPABILITIES = {
  ...{ accelerator: "kvm", channel: "vsock", userNetwork: false, cards: "stream", cardMtu: 1500 },
  freePageReporting: true,
  ...{ poweroffExits: false, tellsReboot: false, pause: false, maxDisks: 8, maxVcpus: 4 },
};

/** One of each, in which every field of today says something else than its default. */
const WRITTEN: Readonly<Record<string, { readonly kind: unknown; readonly json: Json }>> = {
  "a VM's record": {
    kind: VM_RECORD,
    json: {
      ...{ version: 1, id: A, createdAt: TIME, config: CONFIG, base: B, kernelId: A, uid: 5 },
      program: {
        ...{ mode: "system", args: ["/init"], env: ["A=b"], user: "u", workdir: "/w" },
        ...{ directories: ["/d"], stopSignal: 9, ports: [PORT] },
      },
    },
  },
  "a VM's status": {
    kind: VM_STATUS,
    json: {
      ...{ version: 1, state: "running", exitCode: 3, reason: "r", message: "m", oomKilled: true, boot: 2 },
      ...{ restartCount: 1, stoppedByUser: true, startedAt: TIME, finishedAt: TIME, restartAt: TIME },
      ...{
        expiresAt: TIME,
        stop: { signal: 2, timeoutMs: 3, until: TIME },
        restartDelayMs: 5,
        launch: { runDirectory: "/r", at: TIME, unasked: true },
      },
      vmm: {
        ...{ driver: "firecracker", process: { pid: 7, startTime: "8" }, facts: { socket: "s" } },
        capabilities: CAPABILITIES,
      },
      exit: { code: 1, error: "e", oomKilled: true, request: "reboot", finishedAt: TIME },
      ...{ ports: [PORT], vmmKind: "qemu", accelerator: "kvm", kernelRelease: "6.1", ipAddress: "10.0.2.15" },
      given: { "cni:lan": ["10.1.0.5"] },
      ...{ consoleLog: "/c", followers: 2 },
      timings: {
        ...{ preparedMs: 1, spawnedMs: 2, helloMs: 3, startedMs: 4 },
        guest: { initMs: 1, modulesMs: 2, helloMs: 3, rootMs: 4, startedMs: 5 },
      },
    },
  },
  "a cow": { kind: COW, json: { version: 1, baseDigest: A, baseSizeBytes: 4096, sizeBytes: 8192 } },
  "a base": {
    kind: BASE,
    json: {
      ...{ version: 1, key: A, diskBytes: 1, sizeBytes: 2, inodes: 3, dataBytes: 4, hasInit: true },
      ...{ imageId: `sha256:${B}`, createdAt: TIME },
    },
  },
  "a kernel": {
    kind: KERNEL,
    json: {
      ...{ version: 1, id: A, name: "k", release: "6.1", source: "s", architecture: "arm64", pvh: true },
      ...{ sizeBytes: 1, createdAt: TIME, own: { source: "s", configuration: B } },
      modules: "modules-0123456789abcdef",
    },
  },
  "a kernel that was built": {
    kind: BUILD,
    json: {
      ...{ version: 1, key: A, architecture: "amd64", release: "6.1", compiler: "c", linker: "l" },
      ...{ source: { package: "linux", version: "6.1" }, configuration: A, image: A, config: B },
      ...{ imageBytes: 1, epoch: 2, objects: 3, seconds: 4 },
    },
  },
  "an image": {
    kind: IMAGE,
    json: {
      ...{ version: 1, id: `sha256:${A}`, manifestDigest: `sha256:${B}`, sizeBytes: 1, createdAt: TIME },
      platform: { os: "linux", architecture: "arm", variant: "v7" },
      run: {
        ...{ env: ["A=b"], entrypoint: ["e"], cmd: ["c"], workdir: "/w", user: "u", labels: { a: "b" } },
        ...{ exposedPorts: ["80/tcp"], volumes: ["/v"], stopSignal: "TERM" },
      },
      layers: [{ digest: `sha256:${A}`, sizeBytes: 1, diffId: `sha256:${B}`, compression: "zstd" }],
      verified: true,
    },
  },
  "the names of images": {
    kind: NAMES,
    json: { version: 1, images: { [`sha256:${A}`]: { names: ["a:1"], digests: ["a@b"] } } },
  },
  "what was asked of a program beside the main one": {
    kind: WORKLOAD_RECORD,
    json: {
      ...{ version: 1, id: A, createdAt: TIME, boot: 2, args: ["a"], env: ["A=b"], user: "u", workdir: "/w" },
      ...{ tty: true, columns: 80, rows: 25, restart: { name: "on-failure", maximumRetryCount: 3 } },
    },
  },
  "what became of a program beside the main one": {
    kind: WORKLOAD_STATUS,
    json: {
      ...{ version: 1, state: "restarting", run: 2, pid: 7, exitCode: 3, reason: "r", message: "m" },
      ...{ oomKilled: true, restartCount: 1, restartDelayMs: 5, stoppedByUser: true },
      ...{ startedAt: TIME, finishedAt: TIME, restartAt: TIME },
    },
  },
  "a volume": {
    kind: VOLUME_RECORD,
    json: {
      ...{ version: 1, id: A, name: "data", createdAt: TIME, sizeBytes: 5, labels: { a: "b" } },
      anonymous: true,
    },
  },
  "a network": {
    kind: NETWORK_RECORD,
    json: {
      ...{ version: 1, id: A, name: "web", createdAt: TIME, driver: "cni:lab", subnet4: "10.89.0.0/24" },
      ...{ gateway4: "10.89.0.1", range4: "10.89.0.128/25", subnet6: "fd00::/64", gateway6: "fd00::1" },
      ...{ internal: false, isolated: false, mtu: 1400, dnsDisabled: true },
      ...{ options: { mtu: "1400" }, labels: { a: "b" } },
    },
  },
  "what a volume's disk has become": {
    kind: VOLUME_STATUS,
    json: { version: 1, filled: false, filesystemBytes: 4, repairedBy: A },
  },
  "the choice of a kernel": { kind: DEFAULT, json: { version: 1, id: A } },
  "a copy that waits": {
    kind: PENDING,
    json: {
      ...{ version: 1, bytes: 1, directory: "/d", keepOwner: true },
      copy: { name: "n", isDirectory: true, contents: true },
      plan: { directory: "/d", name: "n" },
    },
  },
};

for (const [what, { kind, json }] of Object.entries(WRITTEN)) {
  const known = kind as AnyKind;
  const schema = known.schema as unknown as Shape;

  describe(`${what}, in a kilnd that knows less`, () => {
    it("has in this test every field that is written", () => {
      const read = parseVersioned(known, json);
      assert.deepEqual([read?.value, read?.problems], [json, []]);
      for (const path of pathsOf(schema)) assert.notDeepEqual(valuesAt(json, path), [], path.join("."));
    });

    it("is read without any one of its fields, and written back with it", () => {
      for (const path of pathsOf(schema)) {
        const fewer = { ...known, schema: without(schema, path) as unknown as AnyKind["schema"] };
        assert.deepEqual(parseVersioned(fewer, json), whole(json), path.join("."));
      }
    });

    it("keeps what nobody knows yet, wherever it stands", () => {
      const tomorrow = withUnknown(json, schema);
      assert.deepEqual(parseVersioned(known, tomorrow), whole(tomorrow));
      assert.notDeepEqual(tomorrow, json);
    });
  });
}

/** As each is declared: `export const VM_STATUS: RecordKind<VmStatus>`. */
const KIND_OF_RECORD = /^export const (\w+): RecordKind</gm;

describe("the records of this test", () => {
  it("are all that there are", async () => {
    const sources = join(CHECKOUT, "src");
    const tested = new Set(Object.values(WRITTEN).map(({ kind }) => kind));
    let found = 0;
    for (const file of await readdir(sources, { recursive: true })) {
      if (!file.endsWith(".ts")) continue;
      for (const [, name = ""] of (await readFile(join(sources, file), "utf8")).matchAll(KIND_OF_RECORD)) {
        found++;
        const module = await import(join(CHECKOUT, "dist/src", file.replace(/\.ts$/, ".js")));
        assert.ok(tested.has(module[name]), `${name} of ${file}`);
      }
    }
    assert.equal(found, tested.size);
  });
});

function whole(value: unknown) {
  return { value, problems: [], newer: false, migrated: false };
}

const EACH = "*";

/** Of every field at every level; "*" stands for each member of a list or a map. */
function pathsOf({ entries, wrapped, item, value }: Shape): string[][] {
  if (wrapped !== undefined) return pathsOf(wrapped);
  const inner = item ?? value;
  if (inner !== undefined) return pathsOf(inner).map((path) => [EACH, ...path]);
  return Object.entries(entries ?? {}).flatMap(([key, shape]) => [
    [key],
    ...pathsOf(shape).map((path) => [key, ...path]),
  ]);
}

function valuesAt(value: unknown, [key, ...rest]: readonly string[]): unknown[] {
  if (key === undefined) return [value];
  const all =
    key === EACH ? Object.values(value as Json) : key in (value as Json) ? [(value as Json)[key]] : [];
  return all.flatMap((inner) => valuesAt(inner, rest));
}

/** The schema of a release in which there was no such field. */
function without(shape: Shape, path: readonly string[]): Shape {
  const { wrapped, item, key, value, entries = {} } = shape;
  if (wrapped !== undefined) {
    const inner = schemaOf(without(wrapped, path));
    if (shape.type === "exact_optional") return shapeOf(v.exactOptional(inner));
    return shapeOf(v.optional(inner, shape.default));
  }
  const [first = "", ...rest] = path;
  if (item !== undefined) return shapeOf(v.array(schemaOf(without(item, rest))));
  if (value !== undefined && key !== undefined) {
    return shapeOf(v.record(v.string(), schemaOf(without(value, rest))));
  }
  const { [first]: inner, ...others } = entries;
  const kept =
    inner === undefined || rest.length === 0 ? others : { ...entries, [first]: without(inner, rest) };
  return shapeOf(
    openObject(Object.fromEntries(Object.entries(kept).map(([name, each]) => [name, schemaOf(each)]))),
  );
}

function schemaOf(shape: Shape): v.GenericSchema {
  return shape as unknown as v.GenericSchema;
}

function shapeOf(schema: unknown): Shape {
  return schema as Shape;
}

/** With a field more in each object, also in those of lists and maps. */
function withUnknown(json: unknown, shape: Shape): unknown {
  if (shape.wrapped !== undefined) return withUnknown(json, shape.wrapped);
  const { item, value, entries } = shape;
  if (item !== undefined) return (json as unknown[]).map((inner) => withUnknown(inner, item));
  if (value !== undefined) {
    return Object.fromEntries(
      Object.entries(json as Json).map(([key, inner]) => [key, withUnknown(inner, value)]),
    );
  }
  if (entries === undefined) return json;
  const known = Object.entries(json as Json).map(([key, inner]) => [
    key,
    withUnknown(inner, entries[key] ?? { type: "" }),
  ]);
  return { ...Object.fromEntries(known), ofTomorrow: { deep: ["kept"] } };
}

describe("a kilnd that finds what one wrote that knew more", () => {
  it("goes on with what runs, starts what has ended, and writes back what it does not know", async () => {
    const world = await createWorld();
    let engine = await startEngine(world);
    try {
      const data = join(world.root, "data");
      const runs = await engine.make({ config: configOf({ name: "runs" }), pull: "missing" });
      await engine.vms.start(runs.id);
      const ended = await engine.make({ config: configOf({ name: "ended" }), pull: "missing" });
      const files = [runs, ended].flatMap(({ id }) =>
        ["vm.json", "status.json"].map((name) => join("vms", id, name)),
      );
      files.push(join("bases", runs.record.base, "base.json"));
      await engine.close();
      world.ports.clear();
      const [unknown] = OTHER_RELEASE;
      assert.ok(unknown);
      for (const file of files) await damageFile(join(data, file), unknown, true);
      engine = await startEngine(world);
      const found = engine.entry(runs.id);
      assert.deepEqual([found.state, world.vmms.map(({ alive }) => alive)], ["running", [true]]);
      await engine.vms.start(ended.id);
      await engine.vms.stop(found.id);
      await engine.vms.start(found.id);
      assert.deepEqual([engine.entry(ended.id).state, found.state], ["running", "running"]);
      for (const file of files) {
        const { ofTomorrow } = JSON.parse(await readFile(join(data, file), "utf8")) as Json;
        assert.equal(ofTomorrow, "kept", file);
      }
    } finally {
      await engine.close();
      await destroyWorld(world);
    }
  });
});

// The native front end understands arguments as the TypeScript CLI does, or leaves them to it: the same command line leads
// both to the same request.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { fakeContext } from "../../src/cli/fake-context.js";
import { runCli } from "../../src/cli/run-cli.js";
import { FRONT, run } from "../e2e/harness.js";
import { FakeKilnd } from "../fixtures/fake-kilnd.js";

const HANDED_OVER = 99;
let scratch = "";
let stub = "";
let kilnd: FakeKilnd;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "front-"));
  stub = join(scratch, "node");
  await writeFile(stub, `#!/bin/sh\nexit ${HANDED_OVER}\n`, { mode: 0o755 });
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
  kilnd.ready = { has: () => true };
});
after(async () => {
  await kilnd.close();
  await rm(scratch, { recursive: true, force: true });
});

/** Everything that kilnd is asked for meanwhile. */
async function askedBy(body: () => Promise<void>): Promise<unknown[]> {
  const { execs, creates, attaches } = kilnd;
  const before = [execs.length, creates.length, attaches.length];
  await body();
  // Nor are ids: each is drawn anew by whoever can take its call up again, which the front end can't yet.
  return [
    ...execs.slice(before[0]).map((start) => ({ ...start, id: "" })),
    // That the front end wants only what is ready is the one difference that there may be.
    ...creates.slice(before[1]).map((request) => ({ ...request, readyOnly: false })),
    ...attaches.slice(before[2]).map((start) => ({ ...start, id: "" })),
  ];
}

/** By the TypeScript CLI, in this process. */
const reference = (args: readonly string[]) =>
  askedBy(async () => {
    const worlds: ReturnType<typeof fakeContext>[] = [];
    await runCli(args, ({ host }) => {
      const world = fakeContext({ host: host ?? kilnd.host, env: { HOME: "/home/me" } });
      worlds.push(world);
      return world.context;
    });
    await Promise.all(worlds.map((world) => world.close()));
  });

/** By the front end; undefined where it hands over. */
async function native(args: readonly string[]): Promise<unknown[] | undefined> {
  let handedOver = false;
  const asked = await askedBy(async () => {
    const env = { PATH: "/usr/bin:/bin", HOME: "/home/me", KILN_HOST: kilnd.host, KILN_NODE: stub };
    handedOver = (await run([...FRONT, ...args], { env })).code === HANDED_OVER;
  });
  return handedOver ? undefined : asked;
}

const plain: readonly (readonly string[])[] = [
  ["exec", "web", "true"],
  ["exec", "-t", "web", "true"],
  ["exec", "-i", "-u", "root:0", "-w", "/tmp", "web", "true", "-it", "--", "x"],
  ["exec", "-e", "NOBODY_HAS_THIS", "web", "true"],
  ["run", "-eNOBODY_HAS_THIS", "image"],
  ["exec", "-e", "A=1", "-eB", "-e=C=2", "-e", "HOME", "--env=D=", "web", "true"],
  ["exec", "-ie", "A=ü", "--user=me", "--workdir", "-w", "--", "web", "true"],
  ["--debug", "exec", "-w", "", "web", "true"],
  ["run", "image"],
  ["run", "--rm", "-q", "image", "echo", "--rm", "-it"],
  ["run", "-i", "--sig-proxy", "--progress", "json", "image", "exit", "3"],
  ["run", "-e", "A=1", "-eHOME", "-u", "app", "-w/tmp", "--entrypoint", "sh", "image", "exit"],
  ["run", "--entrypoint=", "-l", "a=b=c", "-la", "--label=d", "-h", "host", "--name", "urn", "image"],
  ["run", "--net", "none", "--vmm", "qemu", "--init", "app", "--pull=never", "image"],
  ["run", "--kernel", "debian", "--kernel-args", " a  b", "--kernel-args=c", "--platform=x/y", "image"],
  ["run", "-m", "512m", "--memory=2G", "--disk", "64k", "--cpus", "03", "-P", "--dns", "::1", "image"],
  ["run", "--stop-signal", "INT", "--hostname=", "-m0", "--", "image", "true"],
];

/** What is no flag of these verbs, or not so. */
const ODD = [
  ...["-", "--", "--tty=true", "--no-tty", "--help", "-h", "--unknown", "--=", "-=", "-é", "--debug", "-v"],
  ...["A=1", "HOME", "=", "A B=1", "", " ", "é=1", "2", "web", "true", "-d", "-itd", "-e", "--env", "-u"],
];
/** Flags, with their values where they take one. */
const EXEC = [
  ...[["-i"], ["-t"], ["-it"], ["--tty"], ["--interactive"], ["-x"], ["--env-file"], ["--user="], ["-uapp"]],
  ...[["-e", "A=1"], ["-e", "HOME"], ["-eB=2"], ["-e="], ["--env=C=3"], ["-ie", "A B=1"], ["-e", "é=1"]],
  ...[
    ["-u", "me"],
    ["--user", "-i"],
    ["-w", "/w"],
    ["--workdir=/w"],
    ["-w", "--"],
    ["-w", ""],
    ["--workdir"],
  ],
];
const RUN = [
  ...EXEC.filter(([word = ""]) => !word.includes("t")),
  ...[["--rm"], ["-q"], ["-qi"], ["-P"], ["-t"], ["-m", "1g"], ["-m2m"], ["--memory=1.5g"], ["-m", "2x"]],
  ...[["-l", "a"], ["-la=b"], ["--label", "=a"], ["-h", "host"], ["-h", "-h"], ["--hostname="], ["-p", "80"]],
  ...[
    ["--name", "urn"],
    ["--name="],
    ["--kernel", "debian"],
    ["--kernel-args=a b"],
    ["--kernel-args", "a\tb"],
  ],
  ...[["--dns", "::1"], ["--cpus", "2"], ["--cpus=0"], ["--cpus", "1e1"], ["--disk", "64G"], ["--disk=b"]],
  ...[["--network", "none"], ["--net=user"], ["--network", "x"], ["--network=none", "--net=user"]],
  ...[["--pull", "never"], ["--pull=always"]],
  ...[["--init=app"], ["--init", ""], ["--vmm=qemu"], ["--vmm", "xen"], ["--sig-proxy"], ["--no-sig-proxy"]],
  ...[["--progress", "none"], ["--entrypoint", "sh"], ["--entrypoint="], ["--stop-signal", "INT"]],
  ...[["--stop-timeout=3"], ["--restart=no"], ["--timing"], ["--platform", "a/b"], ["--add-host", "a:b"]],
];

describe("the front end understands arguments as the TypeScript CLI does", () => {
  for (const args of plain) {
    it(`kiln ${args.join(" ")}`, async () => {
      const asked = await reference(args);
      assert.notEqual(asked.length, 0);
      assert.deepEqual(await native(args), asked);
    });
  }

  for (const [verb, flags, operands] of [
    ["exec", EXEC, ["web", "true"]],
    ["run", RUN, ["image"]],
  ] as const) {
    it(`any others of ${verb}, or leaves them to it`, async () => {
      const odd = fc.constantFrom(...ODD).map((word) => [word]);
      const often = <T>(value: fc.Arbitrary<T>, rarely: fc.Arbitrary<T>) =>
        fc.oneof({ weight: 15, arbitrary: value }, { weight: 1, arbitrary: rarely });
      const globals = fc.constantFrom<string[]>(
        ["--debug"],
        ["-H", kilnd.host],
        ["-H=unix:///no"],
        ["--"],
        ["-h"],
      );
      const line = fc.tuple(
        often(fc.constant<string[][]>([]), fc.array(globals, { maxLength: 2 })),
        fc.array(often(fc.constantFrom(...flags), odd), { maxLength: 5 }),
        often(fc.constant<string[]>([...operands]), fc.constant<string[]>([])),
        fc.array(odd, { maxLength: 2 }),
      );
      await fc.assert(
        fc.asyncProperty(line, async ([before, first, object, then]) => {
          const args = [...before.flat(), verb, ...first.flat(), ...object, ...then.flat()];
          const ours = await native(args);
          if (ours !== undefined) assert.deepEqual(ours, await reference(args));
        }),
        { numRuns: 300 },
      );
    });
  }
});

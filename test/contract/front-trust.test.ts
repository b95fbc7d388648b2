// Whom the client trusts with what it sends: one table of sockets and of the ways to them, for the native part and for
// the TypeScript CLI. The native part refuses nothing by itself: it leaves the refusal to that CLI.

import assert from "node:assert/strict";
import { chmod, chown, lchown, link, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { FRONT, type RunResult, run, TYPESCRIPT } from "../e2e/harness.js";
import { FakeKilnd } from "../fixtures/fake-kilnd.js";

const OTHER = 65_534;
const HANDED_OVER = 99;

interface Case {
  readonly what: string;
  /** Makes what is named in it below an empty directory, which has a name for the socket. */
  readonly make: (at: string, socketAt: (path: string) => Promise<void>) => Promise<void>;
  /** Of the directory; default kiln.sock. */
  readonly socket?: string;
  /** The component that is refused, below the directory, and why; absent where all is well. */
  readonly refused?: readonly [string, RegExp];
  /** Only root can make such a thing. */
  readonly root?: boolean;
}

const plain = async (at: string, mode: number, socketAt: (path: string) => Promise<void>) => {
  await socketAt(join(at, "kiln.sock"));
  await chmod(at, mode);
};

const CASES: readonly Case[] = [
  { what: "a directory of ours", make: (at, socketAt) => plain(at, 0o755, socketAt) },
  { what: "a sticky directory", make: (at, socketAt) => plain(at, 0o1777, socketAt) },
  {
    what: "a directory that everybody may write",
    make: (at, socketAt) => plain(at, 0o777, socketAt),
    refused: ["", /every user may change it \(owner \d+, mode 0777\)/],
  },
  {
    what: "a directory of a group",
    make: async (at, socketAt) => {
      await plain(at, 0o770, socketAt);
      await chown(at, process.getuid?.() ?? 0, OTHER);
      await chmod(at, 0o770);
    },
    refused: ["", /group 65534 may change it/],
    root: true,
  },
  {
    what: "a socket of somebody else in a sticky directory",
    make: async (at, socketAt) => {
      await plain(at, 0o1777, socketAt);
      await chown(join(at, "kiln.sock"), OTHER, OTHER);
    },
    refused: ["/kiln.sock", /belongs to user 65534/],
    root: true,
  },
  {
    what: "a directory of somebody else",
    make: async (at, socketAt) => {
      await plain(at, 0o755, socketAt);
      await chown(at, OTHER, OTHER);
    },
    refused: ["", /belongs to user 65534/],
    root: true,
  },
  {
    what: "a link of ours",
    make: async (at, socketAt) => {
      await mkdir(join(at, "real"));
      await socketAt(join(at, "real/kiln.sock"));
      await symlink("./real/../real", join(at, "run"));
    },
    socket: "run/kiln.sock",
  },
  {
    what: "a link of somebody else",
    make: async (at, socketAt) => {
      await mkdir(join(at, "real"));
      await socketAt(join(at, "real/kiln.sock"));
      await symlink(join(at, "real"), join(at, "run"));
      await lchown(join(at, "run"), OTHER, OTHER);
    },
    socket: "run/kiln.sock",
    refused: ["/run", /belongs to user 65534/],
    root: true,
  },
  {
    what: "a link of ours to where everybody may write",
    make: async (at, socketAt) => {
      await mkdir(join(at, "real"));
      await socketAt(join(at, "real/kiln.sock"));
      await chmod(join(at, "real"), 0o777);
      await symlink(join(at, "real"), join(at, "run"));
    },
    socket: "run/kiln.sock",
    refused: ["/real", /every user may change it/],
  },
  {
    what: "a directory further up that everybody may write",
    make: async (at, socketAt) => {
      await mkdir(join(at, "a/b"), { recursive: true });
      await socketAt(join(at, "a/b/kiln.sock"));
      await chmod(join(at, "a"), 0o777);
    },
    socket: "a/b/kiln.sock",
    refused: ["/a", /every user may change it/],
  },
  {
    what: "links in a circle",
    make: async (at) => symlink("run", join(at, "run")),
    socket: "run/kiln.sock",
    refused: ["/run", /link in a circle/],
  },
];

let scratch = "";
let stub = "";
let kilnd: FakeKilnd;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "front-"));
  stub = join(scratch, "node");
  await writeFile(stub, `#!/bin/sh\nexit ${HANDED_OVER}\n`, { mode: 0o755 });
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
});
after(async () => {
  await kilnd.close();
  await rm(scratch, { recursive: true, force: true });
});

const isRoot = process.getuid?.() === 0;

describe("the client asks a kilnd behind", () => {
  for (const [index, { what, make, socket = "kiln.sock", refused, root }] of CASES.entries()) {
    const skip = root === true && !isRoot ? "only root can make it" : false;
    it(`${what}: ${refused === undefined ? "yes" : "no"}`, { skip }, async () => {
      const at = join(scratch, String(index));
      await mkdir(at);
      await make(at, (path) => link(kilnd.socket, path));
      const ask = (command: readonly string[], env: NodeJS.ProcessEnv): Promise<RunResult> => {
        const host = `unix://${join(at, socket)}`;
        return run([...command, "--host", host, "exec", "web", "echo", "secret"], { env });
      };
      const asked = kilnd.execs.length;
      try {
        const native = await ask(FRONT, { PATH: "/usr/bin:/bin", KILN_NODE: stub });
        const typescript = await ask(TYPESCRIPT, process.env);
        if (refused === undefined) {
          assert.deepEqual([native.code, typescript.code], [0, 0], typescript.stderr);
          assert.equal(kilnd.execs.length, asked + 2);
          return;
        }
        const [component, why] = refused;
        assert.equal(native.code, HANDED_OVER);
        assert.notEqual(typescript.code, 0);
        assert.ok(typescript.stderr.includes(`${at}${component} can't be trusted: `), typescript.stderr);
        assert.match(typescript.stderr, why);
        assert.equal(kilnd.execs.length, asked, "nothing was sent");
      } finally {
        await chown(kilnd.socket, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
      }
    });
  }

  // Everybody whom a user namespace does not know has one number there, the host's root and its neighbours.
  const skip = isRoot ? false : "only root can become another user";
  it("what the host's root owns, from another user's namespace: yes, but not in a sticky directory", {
    skip,
  }, async () => {
    const namespace = [
      "setpriv",
      "--reuid=4321",
      "--regid=4321",
      "--clear-groups",
      "unshare",
      "-U",
      "-r",
      "--",
    ];
    const at = join(scratch, "namespace");
    for (const directory of [at, join(at, "etc"), join(at, "tmp")]) await mkdir(directory);
    for (const directory of ["etc", "tmp"]) await link(kilnd.socket, join(at, directory, "kiln.sock"));
    await chmod(join(at, "tmp"), 0o1777);
    for (const ours of [scratch, at]) await chown(ours, 4321, 4321);
    await chmod(kilnd.socket, 0o666);
    const ask = (command: readonly string[], directory: string): Promise<RunResult> => {
      const host = `unix://${join(at, directory, "kiln.sock")}`;
      const env = { PATH: process.env.PATH, HOME: at, KILN_NODE: stub };
      return run([...namespace, ...command, "--host", host, "exec", "web", "true"], { env });
    };
    try {
      const [native, typescript] = [await ask(FRONT, "etc"), await ask(TYPESCRIPT, "etc")];
      assert.deepEqual([native.code, typescript.code], [0, 0], typescript.stderr);
      assert.equal((await ask(FRONT, "tmp")).code, HANDED_OVER);
      const { stderr } = await ask(TYPESCRIPT, "tmp");
      assert.match(stderr, /tmp\/kiln\.sock can't be trusted: it belongs to user 65534/);
    } finally {
      await chmod(kilnd.socket, 0o600);
      await chown(scratch, 0, 0);
    }
  });
});

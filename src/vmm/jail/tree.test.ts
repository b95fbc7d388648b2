import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Trees } from "./tree.js";

describe("trees", () => {
  let root = "";
  let made = 0;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-trees-"));
    await mkdir(join(root, "host/lib"), { recursive: true });
    await mkdir(join(root, "cache"));
    await writeFile(join(root, "host/program"), "program", { mode: 0o755 });
    await writeFile(join(root, "host/lib/libx.so.1.2"), "library");
    await symlink("libx.so.1.2", join(root, "host/lib/libx.so.1"));
  });
  after(() => rm(root, { recursive: true, force: true }));

  const trees = (tryOut = async () => undefined as undefined) =>
    new Trees({
      directory: join(root, "cache"),
      purpose: "test",
      listFiles: async () => {
        made++;
        return [join(root, "host/program"), join(root, "host/lib/libx.so.1")];
      },
      tryOut,
    });

  /** Where the tree shows that path of the host. */
  async function inside(one: Trees, path: string): Promise<string> {
    const { binds } = await one.get();
    const top = `/${path.split("/")[1]}`;
    const bind = binds.find(({ at }) => at === top) ?? assert.fail(`nothing at ${top}`);
    return bind.from + path.slice(top.length);
  }

  it("holds each file's content under the name that it is asked for by", async () => {
    const tree = trees();
    assert.equal(await readFile(await inside(tree, join(root, "host/lib/libx.so.1")), "utf8"), "library");
    assert.equal((await stat(await inside(tree, join(root, "host/program")))).mode & 0o777, 0o755);
  });

  it("is made once, by however many ask, and found by a later kilnd", async () => {
    const [one, other] = [trees(), trees()];
    const before = made;
    const [first, second, third] = await Promise.all([one.get(), one.get(), other.get()]);
    assert.deepEqual(first, second);
    assert.deepEqual(first, third);
    assert.equal(made, before);
  });

  it("is made anew where a file has changed, and the old one goes", async () => {
    const tree = trees();
    const old = await tree.get();
    await writeFile(join(root, "host/lib/libx.so.1.2"), "repaired");
    await utimes(join(root, "host/lib/libx.so.1.2"), 1, 1);
    const now = await tree.get();
    assert.notDeepEqual(now, old);
    assert.equal(await readFile(await inside(tree, join(root, "host/lib/libx.so.1")), "utf8"), "repaired");
    assert.equal((await readdir(join(root, "cache/trees"))).length, 1);
  });

  for (const [what, damage] of [
    ["was removed", (path: string) => rm(path)],
    [
      "has lost its bytes",
      async (path: string) => {
        await rm(path); // it may be a link to the host's own
        await writeFile(path, "");
      },
    ],
  ] as const) {
    it(`is made anew where a file of it ${what}, by this kilnd and by a later one`, async () => {
      const tree = trees();
      for (const next of [tree, trees()]) {
        await damage(await inside(tree, join(root, "host/program")));
        assert.equal(await readFile(await inside(next, join(root, "host/program")), "utf8"), "program");
      }
    });
  }

  it("leaves the tree of another program alone", async () => {
    await writeFile(join(root, "host/other"), "other", { mode: 0o755 });
    const other = new Trees({
      directory: join(root, "cache"),
      purpose: "other",
      listFiles: async () => [join(root, "host/other")],
      tryOut: async () => undefined,
    });
    const kept = await inside(other, join(root, "host/other"));
    await rm(await inside(trees(), join(root, "host/program")));
    await trees().get();
    assert.equal(await readFile(kept, "utf8"), "other");
  });

  it("leaves nothing of one in which the program does not run", async () => {
    await utimes(join(root, "host/program"), 2, 2);
    const broken = trees(() => Promise.reject(new Error("does not run")));
    const before = await readdir(join(root, "cache/trees"));
    await assert.rejects(broken.get(), /does not run/);
    assert.deepEqual(await readdir(join(root, "cache/trees")), before);
  });

  it("that can't be made is the host's, and says so; it is tried again a while later", async () => {
    let now = 0;
    let tries = 0;
    const one = new Trees(
      {
        ...{ directory: join(root, "cache"), purpose: "unlisted", tryOut: async () => undefined },
        listFiles: async () => {
          if (tries++ === 0) throw new Error("ldd: a library is missing");
          return [join(root, "host/program")];
        },
      },
      () => now,
    );
    for (let asked = 0; asked < 2; asked++) {
      const { binds, exposed } = await one.getOrHost();
      assert.deepEqual([binds[0]?.from, exposed], ["/usr", "ldd: a library is missing"]);
    }
    assert.equal(tries, 1);
    now += 10_000;
    const { binds, exposed } = await one.getOrHost();
    assert.equal(exposed, undefined);
    assert.ok(
      binds.every(({ from }) => from.startsWith(root)),
      JSON.stringify(binds),
    );
  });
});

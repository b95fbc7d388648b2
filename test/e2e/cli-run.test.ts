// `kiln run` as a program in a shell: exit codes, streams, signals, and what it leaves behind. What the native front end
// does itself also by the TypeScript CLI alone: nobody may be able to tell.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { CLI, FRONT, KILN, run, TestKiln, TYPESCRIPT } from "./harness.js";

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  // By its id, as an image of a registry is known: a layout on disk is read anew by every run.
  const layout = await busyboxImage(join(kiln.root, "busybox"));
  image = (await kiln.ok(["pull", "-q", layout])).trim();
});
after(() => kiln.dispose());

const runRm = (...args: string[]) => kiln.kiln(["run", "-q", "--rm", image, ...args]);

for (const [name, command] of [
  ["kiln run by the TypeScript CLI", TYPESCRIPT],
  ["kiln run", KILN],
] as const) {
  describe(`exit code of ${name}`, () => {
    before(() => {
      kiln.command = command;
    });

    it("is the program's", async () => {
      assert.equal((await runRm("true")).code, 0);
      assert.equal((await runRm("sh", "-c", "exit 42")).code, 42);
    });

    it("is 128 + n where a signal ended the program", async () => {
      assert.equal((await runRm("sh", "-c", "kill -TERM $$; sleep 9")).code, 143);
    });

    it("is 127 where the program is not found, and the error names it", async () => {
      const result = await runRm("no-such-program");
      assert.equal(result.code, 127);
      assert.match(result.stderr, /^kiln: .*no-such-program/m);
    });

    it("is 126 where it cannot be executed", async () => {
      const result = await runRm("/etc/passwd");
      assert.equal(result.code, 126);
      assert.match(result.stderr, /^kiln: .*\/etc\/passwd/m);
    });

    it("is 125 where kiln failed, with cause and hint", async () => {
      const result = await kiln.kiln(["run", `oci:${kiln.root}/no-such-layout`]);
      assert.equal(result.code, 125);
      assert.match(result.stderr, /^kiln: .*no-such-layout/m);
      await kiln.untilNoVm();
    });
  });

  describe(`streams of ${name}`, () => {
    it("keeps stdout and stderr apart", async () => {
      const { stdout, stderr } = await runRm("sh", "-c", "echo out; echo err >&2");
      assert.deepEqual([stdout, stderr], ["out\n", "err\n"]);
    });

    it("feeds stdin and its end with -i", async () => {
      const result = await kiln.kiln(["run", "-q", "--rm", "-i", image, "tr", "a-z", "A-Z"], {
        stdin: "hello\n",
      });
      assert.equal(result.stdout, "HELLO\n", result.stderr);
    });

    it("misses no output, from the first byte to the last", async () => {
      const { stdout } = await runRm("seq", "1", "20000");
      assert.equal(stdout, Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join(""));
    });
  });

  describe(`signals to ${name}`, () => {
    it("go to the program", async () => {
      const script = "trap 'echo got TERM; exit 5' TERM; echo ready; while true; do sleep 0.05; done";
      const child = kiln.spawn(["run", "-q", "--rm", image, "sh", "-c", script]);
      let out = "";
      child.stdout?.on("data", (chunk: Buffer) => {
        out += chunk.toString();
        if (out === "ready\n") child.kill("SIGTERM");
      });
      const [code] = await once(child, "close");
      assert.deepEqual([code, out], [5, "ready\ngot TERM\n"]);
    });
  });
}

describe("the front end of kiln run", () => {
  it("needs no node for an image that is ready", async () => {
    const args = ["run", "--rm", "-e", "A=1", image, "sh", "-c", "echo $A; exit 3"];
    const result = await run([...FRONT, ...args], { env: { ...kiln.env, KILN_NODE: "/nonexistent/node" } });
    assert.deepEqual([result.code, result.stdout, result.stderr], [3, "1\n", ""]);
  });

  it("leaves no VM", async () => {
    await kiln.untilNoVm();
  });
});

describe("what the program finds", () => {
  it("is as the flags say", async () => {
    const script = "echo $A $B; pwd; id -u; id -g; hostname; cat /etc/hosts; cat /proc/cmdline";
    const args = ["-e", "A=1", "-e", "B=two words", "-w", "/tmp", "-u", "app", "--hostname", "kiln-host"];
    const more = ["--add-host", "db:10.9.8.7", "--kernel-args", "kiln.test=1", "--network", "none"];
    const stdout = await kiln.ok(["run", "-q", "--rm", ...args, ...more, image, "sh", "-c", script]);
    const [env, cwd, uid, gid, host, ...rest] = stdout.split("\n");
    assert.deepEqual([env, cwd, uid, gid, host], ["1 two words", "/tmp", "1000", "1000", "kiln-host"]);
    assert.match(rest.join("\n"), /10\.9\.8\.7\s+db/);
    assert.match(rest.join("\n"), /kiln\.test=1/);
  });

  it("has the variables of --env-file, which node itself must not take", async () => {
    const [shebang] = (await readFile(CLI, "utf8")).split("\n");
    assert.equal(shebang, "#!/usr/bin/env -S node --");
    const file = join(kiln.root, "vars.env");
    await writeFile(file, "# comment\nA=from file\nHOME\nKILN_HOST=unix:///nonexistent\n");
    const args = [
      "run",
      "-q",
      "--rm",
      "--env-file",
      file,
      "-e",
      "B=2",
      image,
      "sh",
      "-c",
      "echo $A $B $HOME $KILN_HOST",
    ];
    const result = await run(["env", "-S", "node --", CLI, ...args], {
      env: { ...kiln.env, HOME: "/home/me" },
    });
    assert.equal(result.stdout, "from file 2 /home/me unix:///nonexistent\n", result.stderr);
  });

  it("is of the size asked for", async () => {
    const script = "grep MemTotal /proc/meminfo; grep -c ^processor /proc/cpuinfo; df -k / | tail -1";
    const stdout = await kiln.ok([
      "run",
      "-q",
      "--rm",
      "-m",
      "256m",
      "--cpus",
      "2",
      "--disk",
      "2g",
      image,
      "sh",
      "-c",
      script,
    ]);
    const [memory = "", cpus, disk = ""] = stdout.split("\n");
    const memoryKib = Number(/(\d+) kB/.exec(memory)?.[1]);
    assert.ok(memoryKib > 150_000 && memoryKib < 256 * 1024, memory);
    assert.equal(cpus, "2");
    const diskKib = Number(disk.split(/\s+/)[1]);
    assert.ok(diskKib > 1_700_000 && diskKib < 2 * 1024 * 1024, disk);
  });

  it("is another entrypoint with --entrypoint", async () => {
    assert.equal(await kiln.ok(["run", "-q", "--rm", "--entrypoint", "echo", image, "a", "b"]), "a b\n");
  });
});

describe("kiln run -d", () => {
  it("prints the id, writes it down, and leaves the VM running", async () => {
    const file = join(kiln.root, "cid");
    const id = (
      await kiln.ok(["run", "-q", "-d", "--cidfile", file, "--name", "job", image, "sleep", "1000"])
    ).trim();
    assert.match(id, /^[0-9a-f]{64}$/);
    assert.equal(await readFile(file, "utf8"), id);
    const listed = await kiln.ok(["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}} {{.ExitCode}}"]);
    assert.equal(listed, `${id} running 0\n`, kiln.daemonLog.slice(-2000));
    const again = await kiln.kiln(["run", "-q", "-d", "--name", "job", image]);
    assert.equal(again.code, 125);
    assert.match(again.stderr, /job/);
    await kiln.ok(["rm", "-f", id.slice(0, 8)]);
  });

  it("with --rm removes the VM once its program has ended", async () => {
    await kiln.ok(["run", "-q", "-d", "--rm", "--name", "brief", image, "true"]);
    await kiln.untilNoVm();
  });
});

// What the native front end leaves to the TypeScript CLI. That CLI's place is taken by a script that says what it was
// given, so that a hand-over can be seen.

import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer as createHttp1 } from "node:http";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CLI, FRONT, type RunResult, run } from "../e2e/harness.js";
import { FakeKilnd } from "../fixtures/fake-kilnd.js";

const HANDED_OVER = 99;
const [front = ""] = FRONT;
let scratch = "";
let stub = "";
let kilnd: FakeKilnd;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "front-"));
  stub = join(scratch, "node");
  // Its words, and what it finds on the descriptor that the last one names where that is more than stderr.
  const script = `#!/bin/sh
for word; do printf '%s\\n' "$word"; done
case $word in [3-9]) cat <&$word;; esac
exit ${HANDED_OVER}
`;
  await writeFile(stub, script, { mode: 0o755 });
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
  kilnd.ready = new Set(["image"]);
});
after(async () => {
  await kilnd.close();
  await rm(scratch, { recursive: true, force: true });
});

/** The front end with nothing in its environment but this. */
const ask = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<RunResult> =>
  run([front, ...args], { env: { PATH: "/usr/bin:/bin", KILN_HOST: kilnd.host, KILN_NODE: stub, ...env } });

function assertHandedOver(result: RunResult, args: readonly string[]): void {
  assert.equal(result.code, HANDED_OVER, `kiln ${args.join(" ")}: ${result.stderr}`);
  assert.equal(result.stdout, ["--", CLI, ...args].map((word) => `${word}\n`).join(""));
}

describe("the front end hands over", () => {
  const lines: readonly (readonly string[])[] = [
    [],
    ["--help"],
    ["ps", "-a"],
    ["run"],
    ["run", "--env-file", "f", "image", "two words", ""],
    ["run", "-it", "image"],
    ["run", "-d", "image", "true"],
    ["run", "--pull=always", "image", "true"],
    ["run", "-p", "80:80", "image", "true"],
    ["run", "--network", "bridge", "image", "true"],
    ["run", "oci:layout", "true"],
    ["vm", "exec", "web", "true"],
    ["exec"],
    ["exec", "web"],
    ["exec", "--help"],
    ["exec", "--unknown", "web", "true"],
    ["exec", "-d", "web", "true"],
    ["exec", "--restart", "no", "web", "true"],
    ["exec", "--env-file", "f", "web", "true"],
    ["exec", "-it", "web", "true"],
    ["exec", "-e", "", "web", "true"],
    ["--host", "tcp://far:1", "exec", "web", "true"],
    ["--host", "unix:///no/such/socket", "exec", "web", "true"],
  ];
  for (const args of lines) {
    it(`kiln ${args.join(" ")}`, async () => {
      const asked = kilnd.execs.length + kilnd.creates.length;
      assertHandedOver(await ask(args), args);
      assert.equal(kilnd.execs.length + kilnd.creates.length, asked, "nothing was asked for");
    });
  }

  it("a run that kilnd has refused, or that takes work first, and makes no VM", async () => {
    const before = kilnd.vms.size;
    for (const image of ["missing", "not-ready"]) {
      const args = ["--debug", "run", "--name", "x", image, "echo", "two words"];
      assertHandedOver(await ask(args), args);
      assert.equal(kilnd.creates.at(-1)?.readyOnly, true);
    }
    assert.equal(kilnd.vms.size, before);
  });

  it("words that are no text", async () => {
    const script = `"$0" exec web "$(printf 'a\\377b')" | od -An -c | tr -d ' \\n'`;
    const env = { PATH: "/usr/bin:/bin", KILN_HOST: kilnd.host, KILN_NODE: stub };
    const { stdout } = await run(["sh", "-c", script, front], { env });
    assert.match(stdout, /web\\na377b\\n$/);
  });

  it("where it is called by a link", async () => {
    const link = join(scratch, "linked-kiln");
    await symlink(front, link);
    const result = await run([link, "ps"], { env: { KILN_NODE: stub } });
    assertHandedOver(result, ["ps"]);
  });

  it("to the node on PATH, where none is named", async () => {
    const env = { PATH: scratch, KILN_NODE: "" };
    assertHandedOver(await run([front, "ps"], { env }), ["ps"]);
  });
});

describe("the front end says with one hint", () => {
  it("that there is no node", async () => {
    const { code, stdout, stderr } = await run([front, "ps"], { env: { PATH: "/nowhere", KILN_NODE: "" } });
    assert.deepEqual([code, stdout], [125, ""]);
    assert.match(stderr, /^kiln: run node: No such file or directory.*\nhint: .*KILN_NODE\n$/);
  });

  it("that it lies apart from its package", async () => {
    const alone = join(scratch, "bin/kiln");
    await mkdir(join(scratch, "bin"));
    await copyFile(front, alone);
    await chmod(alone, 0o755);
    const { code, stderr } = await run([alone, "ps"], { env: { KILN_NODE: stub } });
    assert.equal(code, 125);
    assert.match(stderr, /^kiln: .*package.*\nhint: .*link.*\n$/);
  });
});

describe("the front end gives what needs words to the TypeScript CLI", () => {
  const wordsOf = ({ code, stdout }: RunResult) => {
    assert.equal(code, HANDED_OVER);
    const [, , ...rest] = stdout.split("\n");
    return rest;
  };

  it("with kilnd's status, on a descriptor", async () => {
    const result = await ask(["exec", "nobody", "true"]);
    const [verb, method, status, descriptor, body = ""] = wordsOf(result);
    assert.deepEqual([verb, method, status], ["__call-failed", "VmService/Exec", "200"]);
    assert.match(descriptor ?? "", /^[3-9]$/);
    assert.equal((JSON.parse(body) as { error: { code: string } }).error.code, "not_found");
  });

  it("with the flags that stand before the verb", async () => {
    const globals = ["--debug", "-H", kilnd.host];
    const words = wordsOf(await ask([...globals, "exec", "nobody", "true"]));
    assert.deepEqual(words.slice(0, 4), [...globals, "__call-failed"]);
  });

  it("with the VM that is to go, where a run with --rm fails", async () => {
    const { id } = kilnd.add("x");
    const words = wordsOf(await ask(["run", "--rm", "--name", "x", "image", "break"]));
    assert.deepEqual(words.slice(0, 4), ["__call-failed", `--rm=${id}`, "VmService/Attach", "200"]);
    const kept = wordsOf(await ask(["run", "image", "vanish"]));
    assert.deepEqual(kept.slice(0, 3), ["__call-failed", "VmService/Attach", "200"]);
  });

  it("with the whole end of a VM, where its program's code is not all", async () => {
    for (const program of ["hog", "panic", "nothing-like-this"]) {
      const [verb, name, descriptor] = wordsOf(await ask(["run", "--name", "x", "image", program]));
      assert.deepEqual([verb, name], ["__run-ended", "x"]);
      assert.match(descriptor ?? "", /^[3-9]$/);
    }
  });

  it("with the HTTP status of what is not kilnd", async () => {
    const server = createServer((_, response) => response.writeHead(404).end("who are you?"));
    const words = await withServer(server, async (host) => ask(["exec", "web", "true"], { KILN_HOST: host }));
    const [verb, , status, , body] = wordsOf(words);
    assert.deepEqual([verb, status, body], ["__call-failed", "404", "who are you?"]);
  });

  it("as a lost connection where HTTP/2 is not spoken", async () => {
    const server = createHttp1((_, response) => response.end("no"));
    const words = await withServer(server, async (host) => ask(["exec", "web", "true"], { KILN_HOST: host }));
    assert.equal(wordsOf(words)[2], "0");
  });

  for (const [what, bytes] of [
    ["compressed", [1, 0, 0, 0, 0]],
    ["longer than any", [0, 0xff, 0xff, 0xff, 0xff]],
    ["no protobuf", [0, 0, 0, 0, 2, 0xff, 0xff]],
    ["cut", [0, 0, 0, 0, 9, 1]],
  ] as const) {
    it(`as a lost connection where a message is ${what}`, async () => {
      const server = createServer().on("stream", (stream: ServerHttp2Stream) => {
        stream.on("error", () => undefined);
        stream.respond({ ":status": 200, "content-type": "application/connect+proto" });
        if (what === "cut") stream.end(Buffer.from(bytes));
        else stream.write(Buffer.from(bytes));
      });
      const words = await withServer(server, async (host) =>
        ask(["exec", "web", "true"], { KILN_HOST: host }),
      );
      assert.equal(wordsOf(words)[2], "0");
    });
  }
});

async function withServer<T>(
  server: Http2Server | ReturnType<typeof createHttp1>,
  body: (host: string) => Promise<T>,
): Promise<T> {
  const path = join(scratch, `other-${Math.random().toString(36).slice(2)}.sock`);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    return await body(`unix://${path}`);
  } finally {
    server.close();
  }
}

describe("the front end finds kilnd's socket as the TypeScript CLI does", () => {
  it("below KILN_ROOT, relative to the working directory too", async () => {
    await mkdir(join(scratch, "root/run"), { recursive: true });
    await symlink(kilnd.socket, join(scratch, "root/run/kiln.sock"));
    for (const root of [join(scratch, "root"), "root", "./root/"]) {
      const env = { KILN_HOST: "", KILN_ROOT: root, KILN_NODE: stub };
      const result = await run([front, "exec", "web", "echo", root], { env, cwd: scratch });
      assert.deepEqual([result.code, result.stdout], [0, `${root}\n`]);
    }
  });

  it("where --host says, before KILN_HOST", async () => {
    const result = await ask(["--host", kilnd.host, "exec", "web", "echo", "x"], { KILN_HOST: "unix:///no" });
    assert.equal(result.stdout, "x\n");
  });
});

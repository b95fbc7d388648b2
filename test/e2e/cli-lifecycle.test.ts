// The verbs between create and rm, and what ps, inspect, events and stats say meanwhile.

import assert from "node:assert/strict";
import { get } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, TestKiln } from "./harness.js";

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
});
after(() => kiln.dispose());

const state = (name: string) => kiln.ok(["inspect", "-f", "{{.status.state}} {{.status.exitCode}}", name]);

describe("a VM's life", () => {
  it("goes from created over running and paused to exited, and can be started again", async () => {
    const script = "trap 'exit 4' TERM; echo up >> /count; while true; do sleep 0.05; done";
    await kiln.ok(["create", "-q", "--name", "life", "-l", "kind=test", image, "sh", "-c", script]);
    assert.equal(await state("life"), "created 0\n");
    assert.equal(await kiln.ok(["start", "life"]), "life\n");
    assert.equal(await state("life"), "running 0\n");
    assert.equal(await kiln.ok(["start", "life"]), "life\n", "starting twice does nothing");
    await kiln.ok(["pause", "life"]);
    assert.equal(await state("life"), "paused 0\n");
    assert.match(await kiln.ok(["ps", "-a"]), /\(Paused\)/);
    await kiln.ok(["unpause", "life"]);
    // With its first line it has set its trap: start returns with the program started.
    await kiln.ok(["exec", "life", "sh", "-c", "until [ -s /count ]; do sleep 0.05; done"]);
    await kiln.ok(["stop", "life"]);
    assert.equal(await state("life"), "exited 4\n");
    assert.equal(await kiln.ok(["wait", "life"]), "4\n");
    await kiln.ok(["restart", "life"]);
    // start returns with the program started, which then has still to write its line.
    await eventually("the second line", async () => {
      const count = await kiln.ok(["exec", "life", "cat", "/count"]);
      assert.match(count, /^up\n/, "the disk stayed");
      return count === "up\nup\n" || undefined;
    });
  });

  it("ends at once with kill, and with another signal as the program likes", async () => {
    await kiln.ok(["kill", "-s", "TERM", "life"]);
    assert.equal(await kiln.ok(["wait", "life"]), "4\n");
    await kiln.ok(["start", "life"]);
    await kiln.ok(["kill", "life"]);
    assert.match(await kiln.ok(["wait", "life"]), /^137\n$/);
  });

  it("ends by itself when its lifetime is over", async () => {
    const args = ["run", "-q", "--name", "brief", "--lifetime", "1s", image, "sleep", "100000"];
    const { code, stderr } = await kiln.kiln(args);
    assert.deepEqual([code, stderr], [143, "kiln: the lifetime of VM brief is over\n"]);
    assert.equal(await kiln.ok(["inspect", "-f", "{{.status.reason}}", "brief"]), "lifetime-over\n");
    assert.match(await kiln.ok(["ps", "-a"]), /Exited \(143: lifetime over\)/);
    await kiln.ok(["rm", "brief"]);
  });

  it("is told by events", async () => {
    const lines = (await kiln.ok(["events", "--since", "1h", "--until", "0s", "--format", "json"]))
      .trim()
      .split("\n");
    const actions = lines.map((line) => JSON.parse(line) as { action: string; type: string; cursor: number });
    const ofVm = actions.filter(({ type }) => type === "vm").map(({ action }) => action);
    for (const action of ["create", "start", "pause", "unpause", "die"])
      assert.ok(ofVm.includes(action), action);
    const cursors = actions.map(({ cursor }) => cursor);
    assert.deepEqual(
      cursors,
      [...cursors].sort((a, b) => a - b),
    );
  });

  it("is found by filters and removed only when it may be", async () => {
    await kiln.ok(["start", "life"]);
    assert.equal(await kiln.ok(["ps", "-f", "label=kind=test", "--format", "{{.Names}}"]), "life\n");
    assert.equal(await kiln.ok(["ps", "-q", "-f", "label=kind=other"]), "");
    const refused = await kiln.kiln(["rm", "life"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^kiln: .*life.*\nhint: /s);
    assert.equal(await kiln.ok(["rm", "-f", "life"]), "life\n");
    assert.equal(await kiln.ok(["ps", "-aq"]), "");
  });
});

describe("ports and stats of a running VM", () => {
  before(async () => {
    const script = "while true; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello' | nc -l -p 80; done";
    await kiln.ok(["run", "-q", "-d", "--name", "web", "-p", "127.0.0.1::80", image, "sh", "-c", script]);
  });

  const fetchText = (address: string) =>
    new Promise<string>((resolve, reject) => {
      get(`http://${address}/`, (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on("end", () => resolve(body));
        response.on("error", reject);
      }).once("error", reject);
    });

  /** nc serves one client and is started again: in between the guest refuses. */
  const answerOf = (address: string) =>
    eventually(`an answer at ${address}`, () => fetchText(address).catch(() => undefined));

  it("answers where port says, also on a port added later", async () => {
    const address = (await kiln.ok(["port", "web", "80"])).trim();
    assert.match(address, /^127\.0\.0\.1:[1-9]\d*$/);
    assert.equal(await answerOf(address), "hello");
    const added = await kiln.ok(["port", "add", "web", "127.0.0.1:0:80"]);
    const [, second = ""] = /^(127\.0\.0\.1:\d+)->80\/tcp\n$/.exec(added) ?? [];
    assert.equal(await answerOf(second), "hello");
    await kiln.ok(["port", "rm", "web", `${second}:80`]);
    await assert.rejects(fetchText(second), /ECONNREFUSED/);
    assert.equal(await answerOf(address), "hello", "the other one stays");
    await kiln.ok(["port", "rm", "web", "80"]);
    assert.equal(await kiln.ok(["port", "web"]), "");
    const none = await kiln.kiln(["port", "rm", "web", "80"]);
    assert.match(none.stderr, /^kiln: unpublish 80\/tcp of VM web: it is not published/);
  });

  it("samples what it uses", async () => {
    const line = await kiln.ok(["stats", "--no-stream", "--format", "json", "web"]);
    const row = JSON.parse(line) as { Name: string; MemUsage: string; PIDs: number };
    assert.equal(row.Name, "web");
    assert.match(row.MemUsage, /^[\d.]+MiB \/ [\d.]+MiB$/);
    assert.ok(row.PIDs >= 1);
  });
});

describe("kiln start -a", () => {
  it("shows the output and gives the exit code", async () => {
    await kiln.ok(["create", "-q", "--name", "again", image, "sh", "-c", "echo once more; exit 6"]);
    const result = await kiln.kiln(["start", "-a", "again"]);
    assert.deepEqual([result.code, result.stdout], [6, "once more\n"]);
  });
});

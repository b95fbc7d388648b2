import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { removeWatched } from "../../test/fixtures/remove-watched.js";
import { errnoOf, hasReason } from "../base/errors.js";
import { silentLogger } from "../base/log.js";
import { delay } from "../base/runtime.js";
import { inheritedSocket, type Listening, listenAt } from "./listen.js";

let directory: string;
let servers: Server[];
let listenings: Listening[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-listen-"));
  servers = [];
  listenings = [];
});
afterEach(async () => {
  for (const { unlink } of listenings) await unlink();
  for (const server of servers) server.close();
  await rm(directory, { recursive: true, force: true });
});

function newServer(): Server {
  const server = createServer();
  servers.push(server);
  return server;
}

/** Let go of after the test: it would make its socket again. */
async function listenHere(server: Server, where: ReturnType<typeof options>): Promise<Listening> {
  const listening = await listenAt(server, where);
  listenings.push(listening);
  return listening;
}

/** As a client that starts kilnd does: again until somebody listens. */
async function dialUntilThere(path: string): Promise<Socket> {
  for (;;) {
    const client = connect(path);
    const there = await Promise.race([
      once(client, "connect").then(() => true),
      once(client, "error").then(() => false),
    ]).catch(() => false);
    if (there) return client;
    await delay(5);
  }
}

const options = (path: string) => ({
  path,
  group: "no-such-group-of-kiln",
  flag: "--socket",
  log: silentLogger,
});

describe("listenAt", () => {
  it("makes the directory and a socket for owner and group only", async () => {
    const path = join(directory, "run", "kiln.sock");
    const { unlink } = await listenHere(newServer(), options(path));
    assert.equal((await stat(path)).mode & 0o777, 0o660);
    await unlink();
    await assert.rejects(stat(path));
  });

  it("takes the place of a socket that nobody answers at", async () => {
    const path = join(directory, "kiln.sock");
    const dead = newServer();
    await listenHere(dead, options(path));
    // Node removes the file with the listener: a killed process does not.
    await rename(path, `${path}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    await rename(`${path}.kept`, path);
    await listenHere(newServer(), options(path));
  });

  for (const [what, remove] of [
    ["that was removed", (path: string) => rm(path)],
    ["whose directory was removed", (path: string) => removeWatched(dirname(path))],
  ] as const) {
    it(`makes a socket ${what} again, for the same server`, async () => {
      const path = join(directory, "run", "kiln.sock");
      const server = newServer();
      const accepted = () => new Promise<void>((resolve) => server.once("connection", () => resolve()));
      const { unlink } = await listenHere(server, options(path));
      try {
        for (let round = 0; round < 2; round++) {
          await remove(path);
          const connection = accepted();
          const client = await dialUntilThere(path);
          await connection;
          client.destroy();
          assert.equal((await stat(path)).mode & 0o777, 0o660);
        }
      } finally {
        await unlink();
      }
      await assert.rejects(stat(path));
    });
  }

  it("leaves what somebody else has put in the socket's place", async () => {
    const path = join(directory, "run", "kiln.sock");
    const { unlink } = await listenHere(newServer(), options(path));
    await writeFile(`${path}.other`, "theirs");
    await rename(`${path}.other`, path);
    await unlink();
    assert.equal(await readFile(path, "utf8"), "theirs");
  });

  it("leaves a socket alone that somebody answers at", async () => {
    const path = join(directory, "kiln.sock");
    await listenHere(newServer(), options(path));
    await assert.rejects(listenHere(newServer(), options(path)), (error) =>
      hasReason(error, "socket-in-use"),
    );
  });

  it("leaves a socket alone whose listener has no room for another caller", async () => {
    const path = join(directory, "kiln.sock");
    // Node accepts whoever comes; this one never does.
    const script =
      'socket(S,1,1,0); bind(S,pack("Sa*x",1,$ARGV[0])); listen(S,0); $|=1; print "up"; sleep 60';
    const busy = spawn("perl", ["-e", script, path], { stdio: ["ignore", "pipe", "inherit"] });
    const callers: Socket[] = [];
    try {
      await once(busy.stdout, "data");
      for (;;) {
        const caller = connect(path);
        callers.push(caller);
        const full = await Promise.race([
          once(caller, "connect").then(() => false),
          once(caller, "error").then(() => true),
        ]).catch((error: unknown) => errnoOf(error) === "EAGAIN");
        if (full) break;
      }
      await assert.rejects(listenHere(newServer(), options(path)), (error) =>
        hasReason(error, "socket-in-use"),
      );
    } finally {
      for (const caller of callers) caller.destroy();
      busy.kill("SIGKILL");
      await once(busy, "close");
    }
  });

  it("leaves a file alone that is no socket", async () => {
    const path = join(directory, "kiln.sock");
    await writeFile(path, "mine");
    await assert.rejects(listenHere(newServer(), options(path)), (error) =>
      hasReason(error, "socket-in-use"),
    );
  });

  it("names a path that is too long for a socket", async () => {
    const path = join(directory, "x".repeat(120));
    await assert.rejects(listenHere(newServer(), options(path)), (error) =>
      hasReason(error, "socket-path-too-long"),
    );
  });
});

describe("inheritedSocket", () => {
  it("is descriptor 3 where systemd passed one socket to this very process", () => {
    assert.equal(inheritedSocket({ LISTEN_PID: "7", LISTEN_FDS: "1" }, 7), 3);
    assert.equal(inheritedSocket({ LISTEN_PID: "8", LISTEN_FDS: "1" }, 7), undefined);
    assert.equal(inheritedSocket({}, 7), undefined);
  });

  it("must be one", () => {
    assert.throws(
      () => inheritedSocket({ LISTEN_PID: "7", LISTEN_FDS: "2" }, 7),
      (error) => hasReason(error, "bad-activation"),
    );
  });
});

import assert from "node:assert/strict";
import { mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../base/errors.js";
import { silentLogger } from "../base/log.js";
import { inheritedSocket, listenAt } from "./listen.js";

let directory: string;
let servers: Server[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kiln-listen-"));
  servers = [];
});
afterEach(async () => {
  for (const server of servers) server.close();
  await rm(directory, { recursive: true, force: true });
});

function newServer(): Server {
  const server = createServer();
  servers.push(server);
  return server;
}

const options = (path: string) => ({ path, group: "no-such-group-of-kiln", log: silentLogger });

describe("listenAt", () => {
  it("makes the directory and a socket for owner and group only", async () => {
    const path = join(directory, "run", "kiln.sock");
    const { unlink } = await listenAt(newServer(), options(path));
    assert.equal((await stat(path)).mode & 0o777, 0o660);
    await unlink();
    await assert.rejects(stat(path));
  });

  it("takes the place of a socket that nobody answers at", async () => {
    const path = join(directory, "kiln.sock");
    const dead = newServer();
    await listenAt(dead, options(path));
    // Node removes the file with the listener: a killed process does not.
    await rename(path, `${path}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    await rename(`${path}.kept`, path);
    await listenAt(newServer(), options(path));
  });

  it("leaves a socket alone that somebody answers at", async () => {
    const path = join(directory, "kiln.sock");
    await listenAt(newServer(), options(path));
    await assert.rejects(listenAt(newServer(), options(path)), (error) => hasReason(error, "socket-in-use"));
  });

  it("leaves a file alone that is no socket", async () => {
    const path = join(directory, "kiln.sock");
    await writeFile(path, "mine");
    await assert.rejects(listenAt(newServer(), options(path)), (error) => hasReason(error, "socket-in-use"));
  });

  it("names a path that is too long for a socket", async () => {
    const path = join(directory, "x".repeat(120));
    await assert.rejects(listenAt(newServer(), options(path)), (error) =>
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

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { callApi, dialVsock } from "./client.js";

describe("Firecracker's sockets", () => {
  let directory: string;
  let path: string;
  let server: Server | undefined;
  const sockets: Socket[] = [];
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "fc-"));
    path = join(directory, "socket");
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server?.close();
    await rm(directory, { recursive: true, force: true });
  });

  async function listen(made: Server): Promise<void> {
    server = made;
    made.on("connection", (socket) => {
      sockets.push(socket);
      socket.on("error", () => undefined);
    });
    made.listen(path);
    await once(made, "listening");
  }

  describe("dialVsock", () => {
    const guest = (serve: (socket: Socket, request: string) => void) =>
      listen(
        createServer((socket) => {
          socket.once("data", (chunk) => serve(socket, chunk.toString("latin1")));
        }),
      );

    it("gives up in its time where nobody answers, as before the guest has a driver", async () => {
      await guest(() => undefined);
      await assert.rejects(dialVsock(path, 1024, { timeoutMs: 20 }), (error) =>
        hasReason(error, "nobody-listens"),
      );
    });

    it("asks for the port and keeps every byte after the answer", async () => {
      let asked = "";
      await guest((socket, request) => {
        asked = request;
        socket.write("OK 1073741824\nfirst bytes");
      });
      const stream = await dialVsock(path, 1024, {});
      assert.equal(asked, "CONNECT 1024\n");
      const [chunk] = await once(stream, "data");
      assert.equal(String(chunk), "first bytes");
      stream.destroy();
    });

    it("takes an answer that comes byte by byte", async () => {
      await guest((socket) => {
        for (const byte of "OK 1\n") socket.write(byte);
      });
      (await dialVsock(path, 1024, {})).destroy();
    });

    const refusals: [string, (socket: Socket) => void][] = [
      ["is closed", (socket) => socket.end()],
      ["answers something else", (socket) => socket.write("NO\n")],
      ["answers without end", (socket) => socket.write("OK 1111111111111111111111111111111111111")],
    ];
    for (const [what, serve] of refusals) {
      it(`says that nobody listens where the connection ${what}`, async () => {
        await guest(serve);
        await assert.rejects(dialVsock(path, 1024, {}), (error) => hasReason(error, "nobody-listens"));
      });
    }

    it("ends with its caller", async () => {
      await guest(() => undefined);
      const cancel = new AbortController();
      const dialling = dialVsock(path, 1024, { signal: cancel.signal });
      cancel.abort();
      await assert.rejects(dialling, { name: "AbortError" });
    });
  });

  describe("callApi", () => {
    it("gives answers, nothing for 204, and Firecracker's words of refusal", async () => {
      await listen(
        createHttpServer((request, response) => {
          if (request.method === "GET") response.end('{"state":"Running"}');
          else if (request.url === "/vm") response.writeHead(204).end();
          else response.writeHead(400).end('{"fault_message":"not today"}');
        }),
      );
      assert.deepEqual(await callApi(path, "GET", "/"), { state: "Running" });
      assert.equal(await callApi(path, "PATCH", "/vm", { state: "Paused" }), undefined);
      await assert.rejects(
        callApi(path, "PUT", "/actions", {}),
        (error) => hasReason(error, "firecracker-error") && /not today/.test(String(error)),
      );
    });

    it("gives the words of a refusal that is no JSON, as its HTTP layer makes them", async () => {
      await listen(
        createHttpServer((_request, response) => {
          response.writeHead(400).end('{ "error": "Unsupported HTTP method.\nTry another" }');
        }),
      );
      await assert.rejects(
        callApi(path, "PUT", "/actions", {}),
        (error) =>
          hasReason(error, "firecracker-error") &&
          /refused: Unsupported HTTP method. Try another$/.test(String(error)),
      );
    });

    it("refuses answers without end", async () => {
      await listen(
        createHttpServer((_request, response) => {
          const flood = () => {
            while (response.write("x".repeat(65536)));
          };
          response.on("drain", flood);
          flood();
        }),
      );
      await assert.rejects(callApi(path, "GET", "/"), /the answer is too long/);
    });
  });
});

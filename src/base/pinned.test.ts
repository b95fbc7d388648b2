import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { constants } from "node:fs";
import { link, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasReason } from "./errors.js";
import { connectPinned, openPinned, Pinned } from "./pinned.js";

const ME = process.getuid?.() ?? 0;
const refused = (error: unknown) => hasReason(error, "not-as-expected");

describe("pinned", () => {
  let root = "";
  const servers: Server[] = [];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kiln-pinned-"));
    await mkdir(join(root, "directory"));
    await writeFile(join(root, "file"), "content");
    await writeFile(join(root, "secret"), "secret");
    await symlink("secret", join(root, "link"));
    await writeFile(join(root, "two"), "two");
    await link(join(root, "two"), join(root, "names"));
    execFileSync("mkfifo", [join(root, "fifo")]);
    await listen("socket");
    await listen("other");
    await symlink("other", join(root, "socket-link"));
  });
  after(async () => {
    for (const server of servers) server.close();
    await rm(root, { recursive: true, force: true });
  });

  async function listen(name: string): Promise<void> {
    const server = createServer((socket) => socket.end(name));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(join(root, name), resolve));
  }

  async function read(name: string, owners = [ME]): Promise<string> {
    const file = await openPinned(join(root, name), owners, constants.O_RDONLY);
    const text = await file.readFile("utf8");
    await file.close();
    return text;
  }

  it("opens the file that was expected", async () => {
    assert.equal(await read("file"), "content");
  });

  it("refuses links, second names, other kinds and other owners", async () => {
    for (const name of ["link", "two", "names", "fifo", "socket", "directory"]) {
      await assert.rejects(read(name), refused, name);
    }
    await assert.rejects(read("file", [ME + 1]), refused);
    await assert.rejects(read("missing"), (error) => hasReason(error, "no-such-file"));
  });

  it("connects to a socket and to nothing that leads to one", async () => {
    const socket = await connectPinned(join(root, "socket"), [ME]);
    socket.setEncoding("utf8");
    let said = "";
    for await (const text of socket) said += text;
    assert.equal(said, "socket");
    for (const name of ["socket-link", "file", "fifo"]) {
      await assert.rejects(connectPinned(join(root, name), [ME]), refused, name);
    }
    await assert.rejects(connectPinned(join(root, "socket"), [ME + 1]), refused);
  });

  it("stays with what it has looked at when the name is given to something else", async () => {
    await writeFile(join(root, "named"), "looked at");
    await using pinned = await Pinned.open(join(root, "named"), { kind: "file", owners: [ME] });
    await rename(join(root, "named"), join(root, "moved"));
    await symlink("secret", join(root, "named"));
    const file = await pinned.reopen(constants.O_RDONLY);
    assert.equal(await file.readFile("utf8"), "looked at");
    await file.close();
  });

  it("names what lies in a pinned directory whatever becomes of the directory's name", async () => {
    await mkdir(join(root, "parent"));
    await writeFile(join(root, "parent/child"), "child");
    await using parent = await Pinned.open(join(root, "parent"), { kind: "directory", owners: [ME] });
    await rename(join(root, "parent"), join(root, "was-parent"));
    await symlink("directory", join(root, "parent"));
    const file = await openPinned(parent.at("child"), [ME], constants.O_RDONLY);
    assert.equal(await file.readFile("utf8"), "child");
    await file.close();
  });
});

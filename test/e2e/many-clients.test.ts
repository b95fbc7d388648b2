// Six hundred clients of one published port who say nothing: they keep nobody from looking into the VM or from ending it,
// neither while they hang nor after they have left.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, TestKiln } from "./harness.js";

/** As many as once took every stream of the agent's, from exec, logs and stop, too. */
const CLIENTS = 600;

let kiln: TestKiln;
let port = 0;
before(async () => {
  // The kernel is none of it, and kiln's own boots in half the time.
  kiln = await TestKiln.start({ kernel: "kiln" });
  const image = await busyboxImage(join(kiln.root, "busybox"));
  const serve = "mkdir /www; echo served > /www/it; echo serving; exec httpd -f -p 80 -h /www";
  await kiln.ok([
    "run",
    "-d",
    "--name",
    "box",
    "-m",
    "512m",
    "-p",
    "127.0.0.1:0:80",
    image,
    "sh",
    "-c",
    serve,
  ]);
  port = Number((await kiln.ok(["port", "box", "80"])).trim().split(":").at(-1));
  // Its program runs, and has still to begin to listen.
  assert.equal(await eventually("the port serves", get), "served");
});
after(() => kiln.dispose());

/** Clients that connect and say nothing. */
async function idleClients(): Promise<Socket[]> {
  const sockets = Array.from({ length: CLIENTS }, () => connect(port, "127.0.0.1"));
  for (const socket of sockets) socket.on("error", () => undefined);
  // Those beyond the port's limit are sent away, some before they have heard that they are connected.
  const settled = sockets.map((socket) => Promise.race([once(socket, "connect"), once(socket, "close")]));
  await Promise.allSettled(settled);
  const held = sockets.filter((socket) => !socket.destroyed);
  assert.ok(held.length > CLIENTS / 4, `${held.length} of ${CLIENTS} are held`);
  return sockets;
}

/** What the VM serves; undefined where the client was sent away. */
async function get(): Promise<string | undefined> {
  const answer = await fetch(`http://127.0.0.1:${port}/it`).catch(() => undefined);
  return answer?.ok === true ? (await answer.text()).trim() : undefined;
}

async function answersLook(): Promise<void> {
  assert.equal(await kiln.ok(["logs", "box"]), "serving\n");
  assert.match(await kiln.ok(["stats", "--no-stream", "--format", "{{.Name}}"]), /^box$/m);
  assert.equal(await kiln.ok(["cp", "box:/www/it", "-"]).then((tar) => tar.length > 0), true);
}

describe("many clients", () => {
  it("at a published port keeps nobody from the VM, and is gone when it has left", async () => {
    const sockets = await idleClients();
    await answersLook();
    assert.equal(await kiln.ok(["exec", "box", "echo", "here"]), "here\n");
    for (const socket of sockets) socket.destroy();
    assert.equal(await eventually("the port serves", get), "served");
    assert.equal(await kiln.ok(["exec", "box", "echo", "here"]), "here\n");
  });

  it("at a published port keeps nobody from stopping the VM", async () => {
    const sockets = await idleClients();
    await kiln.ok(["stop", "-t", "60", "box"]);
    // By its program's answer to the signal, not by the VMM's end.
    assert.equal(await kiln.ok(["wait", "box"]), "143\n");
    for (const socket of sockets) socket.destroy();
  });
});

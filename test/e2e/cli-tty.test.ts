// Programs on a terminal: size, keys, detaching and coming back, and the user's terminal as it was afterwards.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { Terminal } from "./cli-terminal.js";
import { TestKiln } from "./harness.js";

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start();
  image = await busyboxImage(join(kiln.root, "busybox"));
  await kiln.ok(["run", "-d", "-i", "--name", "box", image, "sh"]);
});
after(() => kiln.dispose());

/** The terminal's last word, after kiln, is that of stty(1): "icanon", or "-icanon" where it was left raw. */
function assertCooked(screen: string): void {
  assert.match(screen, /icanon\s*$/);
  assert.doesNotMatch(screen, /-icanon\s*$/, "our terminal was left raw");
}

describe("kiln exec -it", () => {
  it("gives the program a terminal of our size, and its exit code back", async () => {
    const terminal = new Terminal(kiln, ["exec", "-it", "box", "sh"]);
    await terminal.until(/# /);
    terminal.type("stty size; tty\r");
    await terminal.until(/30 100/);
    await terminal.until(/\/dev\/pts\/\d+/);
    terminal.type("exit 7\r");
    const { code, screen } = await terminal.end();
    assert.equal(code, 7, screen);
    assertCooked(screen);
  });

  it("passes Ctrl-C to the program, not to kiln", async () => {
    const terminal = new Terminal(kiln, ["exec", "-it", "box", "sh"]);
    await terminal.until(/# /);
    // Said by the program itself: before it is in the foreground, the key would be the shell's.
    terminal.type("sh -c \"echo sl''eeping; exec sleep 1000\"\r");
    await terminal.until(/sleeping/);
    terminal.type("\x03");
    await terminal.until(/# /);
    terminal.type("exit\r");
    assert.equal((await terminal.end()).code, 130);
  });
});

describe("kiln run -it", () => {
  it("detaches with ctrl-p ctrl-q and comes back with attach", async () => {
    const first = new Terminal(kiln, ["run", "-q", "-it", "--name", "shell", image, "sh"]);
    await first.until(/# /);
    first.type("left=behind; echo re''ady\r");
    await first.until(/ready/);
    first.type("\x10\x11");
    const detached = await first.end();
    assert.equal(detached.code, 0, detached.screen);
    assertCooked(detached.screen);
    assert.equal((await kiln.ok(["ps", "-q", "-f", "name=shell"])).trim().length, 12);

    const second = new Terminal(kiln, ["attach", "shell"]);
    second.type("echo $left; exit 3\r");
    await second.until(/behind/);
    assert.equal((await second.end()).code, 3);
  });

  it("refuses a terminal where stdin is none", async () => {
    const result = await kiln.kiln(["run", "-it", image, "sh"]);
    assert.equal(result.code, 125);
    assert.match(result.stderr, /run -it: stdin is not a terminal\nhint: leave out -t/);
  });
});

// Images whose own paths are odd, and what Docker's users ask of a VM's surroundings: every one boots, and finds what
// it was promised.

import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type BusyboxOptions, busyboxImage, busyboxMembers } from "../fixtures/busybox-image.js";
import { writeImage } from "../fixtures/images/image-layout.js";
import { archive, type TarSpec } from "../fixtures/images/tar-writer.js";
import { eventually, run, TestKiln, TYPESCRIPT } from "./harness.js";

let kiln: TestKiln;
before(async () => {
  kiln = await TestKiln.start();
});
after(() => kiln.dispose());

const link = (path: string, linkTarget: string): TarSpec => ({ path, type: "symlink", linkTarget });
const imageOf = (name: string, options: BusyboxOptions) => busyboxImage(join(kiln.root, name), options);
const sh = (vm: string, script: string) => kiln.ok(["exec", vm, "sh", "-c", script]);

describe("an image with links to nothing", () => {
  const host = "web.example.com";
  let busy: Server;
  let first = 0;
  before(async () => {
    busy = createServer().listen(0, "127.0.0.1");
    await once(busy, "listening");
    first = (busy.address() as { port: number }).port;
    const image = await imageOf("links", {
      run: {
        Cmd: ["sleep", "100000"],
        Env: ["PATH=/bin", "A=image", "B=image"],
        WorkingDir: "/work/deep",
        Volumes,
      },
      extra: [
        link("var/work", "/srv/there"),
        link("work", "var/work"),
        link("etc/resolv.conf", "/run/resolvconf/resolv.conf"),
        link("run/resolvconf", "/var/volatile/resolvconf"),
      ],
    });
    const ports = [
      "-p",
      `127.0.0.1:${first}-${first + 20}:80`,
      "-p",
      `127.0.0.1:${first}-${first + 20}:53/udp`,
    ];
    const flags = ["-h", host, "-e", "A", "--dns", "10.9.8.7", ...ports];
    await kiln.ok(["run", "-q", "-d", "--name", "links", ...flags, image]);
  });
  after(() => busy.close());
  const Volumes = { "/data/one": {}, "/work/volume": {} };

  it("gets its resolver, its volumes and its working directory where the links lead", async () => {
    assert.match(await sh("links", "cat /etc/resolv.conf"), /10\.9\.8\.7/);
    assert.equal(
      await sh("links", "pwd; ls -d /data/one /srv/there/volume"),
      "/work/deep\n/data/one\n/srv/there/volume\n".replace("/work/deep", "/srv/there/deep"),
    );
  });

  it("has its full name, and the short one beside it", async () => {
    assert.equal(await sh("links", "hostname; cat /etc/hostname"), `${host}\n${host}\n`);
    assert.match(await sh("links", "cat /etc/hosts"), new RegExp(`\\t${host} web$`, "m"));
  });

  it("loses a variable that is named and that we do not have, in exec too", async () => {
    assert.equal(await sh("links", 'echo "$A-$B"'), "-image\n");
    assert.equal(await kiln.ok(["exec", "-e", "B", "links", "sh", "-c", 'echo "$A-$B"']), "-\n");
  });

  it("is published on the first free port of a range, udp on its own", async () => {
    const bound = async (port: string) =>
      Number((await kiln.ok(["port", "links", port])).trim().replace(/.*:/, ""));
    const tcp = await bound("80/tcp");
    assert.ok(tcp > first && tcp <= first + 20, `${tcp} is the first free one after ${first}`);
    const udp = await bound("53/udp");
    assert.ok(udp >= first && udp <= first + 20);
    const added = await kiln.ok(["port", "add", "links", `127.0.0.1:${first}-${first + 20}:81`]);
    assert.match(added, /127\.0\.0\.1:\d+->81\/tcp/);
  });

  it("refuses a working directory of exec that is not there, and makes none", async () => {
    const { code, stderr } = await kiln.kiln(["exec", "-w", "/no/such", "links", "true"]);
    assert.equal(code, 126);
    assert.match(stderr, /enter the working directory.*No such file/);
    assert.equal(await sh("links", "test -e /no || echo none"), "none\n");
  });

  it("refuses bytes that are not UTF-8 instead of changing them", async () => {
    const file = join(kiln.root, "latin1.env");
    await writeFile(file, Buffer.from("A=caf\xe9\n", "latin1"));
    const fromFile = await kiln.kiln(["exec", "--env-file", file, "links", "env"]);
    assert.equal(fromFile.code, 125);
    assert.match(fromFile.stderr, /latin1\.env:1: it holds bytes that are not UTF-8/);
    const shell = (script: string, command: readonly string[]) =>
      run(["sh", "-c", script, "sh", ...command], { env: kiln.env });
    for (const command of [kiln.command, TYPESCRIPT]) {
      const argument = await shell(`"$@" exec links echo "$(printf 'caf\\351')"`, command);
      assert.match(argument.stderr, /arguments of kiln exec: it holds bytes that are not UTF-8/);
      assert.equal(argument.code, 125);
      const program = await shell(`"$@" run --rm no/such echo "$(printf 'caf\\351')"`, command);
      assert.match(program.stderr, /arguments of kiln run: it holds bytes that are not UTF-8/);
      assert.equal(program.code, 125);
      const variable = await shell(`A="$(printf 'caf\\351')" exec "$@" exec -e A links env`, command);
      assert.match(variable.stderr, /take our A: it holds bytes that are not UTF-8/);
      const name = await shell(`"$@" cp "$(printf '/tmp/caf\\351')" links:/tmp`, command);
      assert.match(name.stderr, /not UTF-8/);
      // The sign itself is as good as any other.
      assert.equal(
        (await shell(`"$@" exec links echo "$(printf '\\357\\277\\275')"`, command)).stdout,
        "\ufffd\n",
      );
    }
  });
});

describe("an image whose directories are none", () => {
  it("boots where /etc leads to a directory elsewhere, and /proc, /dev, /sys and /etc/hosts are not what they should be", async () => {
    const odd = new Set(["etc", "dev", "proc", "sys", "run"]);
    const members = (await busyboxMembers()).filter(({ path }) => !odd.has(String(path).split("/")[0] ?? ""));
    const directory = join(kiln.root, "odd");
    const tar = archive([
      ...members,
      link("etc", "/nowhere/at/all"),
      link("dev", "var/dev"),
      { path: "proc", data: "a file" },
      link("sys", "sys"),
      link("run", "/proc"),
      { path: "nowhere", type: "directory" },
      { path: "nowhere/at", type: "directory" },
      { path: "nowhere/at/all", type: "directory" },
      { path: "nowhere/at/all/hosts", type: "directory" },
    ]);
    await writeImage(directory, { layers: [{ tar }], run: { Cmd: ["sh"], Env: ["PATH=/bin"] } });
    const script = "cat /etc/hostname; ls -d /proc/self /sys/class /dev/null; test -d /etc/hosts && echo odd";
    const image = `oci:${directory}:latest`;
    const out = await kiln.ok(["run", "-q", "--rm", "-h", "a_b", image, "sh", "-c", script]);
    assert.equal(out, "a_b\n/dev/null\n/proc/self\n/sys/class\nodd\n");
  });

  it("boots where /etc leads to nothing, with the longest name, and a working directory that leads to nothing", async () => {
    const members = (await busyboxMembers()).filter(({ path }) => String(path).split("/")[0] !== "etc");
    const directory = join(kiln.root, "no-etc");
    const tar = archive([...members, link("etc", "/gone/etc"), link("dangling", "var/gone")]);
    await writeImage(directory, { layers: [{ tar }], run: { Cmd: ["sh"], Env: ["PATH=/bin"] } });
    const host = "h".repeat(64);
    const flags = ["-q", "-d", "--name", "no-etc", "-h", host, "--dns", "10.9.8.7", "-w", "/dangling"];
    await kiln.ok([
      "run",
      ...flags,
      `oci:${directory}:latest`,
      "sh",
      "-c",
      "pwd > /tmp/where; exec sleep 100000",
    ]);
    assert.equal(await sh("no-etc", "hostname; cat /gone/etc/hostname"), `${host}\n${host}\n`);
    assert.match(await sh("no-etc", "cat /etc/hosts"), new RegExp(`\\t${host}$`, "m"));
    assert.match(await sh("no-etc", "cat /etc/resolv.conf"), /10\.9\.8\.7/);
    assert.equal(await sh("no-etc", "cat /tmp/where"), "/var/gone\n");
    const entered = await kiln.ok(["exec", "-w", "/dangling", "no-etc", "sh", "-c", "pwd -P"]);
    assert.equal(entered, "/var/gone\n");
    await sh("no-etc", "rm -r /var/gone");
    const refused = await kiln.kiln(["exec", "-w", "/dangling", "no-etc", "true"]);
    assert.equal(refused.code, 126);
    assert.match(refused.stderr, /enter the working directory.*No such file/);
    await kiln.ok(["rm", "-f", "no-etc"]);
  });
});

describe("an init of the image's own, by its name", () => {
  it("is PID 1 with its arguments, directory and user, its end is the VM's, its words the log, and a signal stops it", async () => {
    const init =
      '#!/bin/sh\ntrap "exit 5" TERM\nid -u > /tmp/who; pwd >> /tmp/who; echo "$@" >> /tmp/who\necho told by init "$@"\n"$@" & wait $!\nexit 3\n';
    const image = await imageOf("init", {
      run: {
        Entrypoint: ["/init"],
        Cmd: ["sleep", "100000"],
        Env: ["PATH=/bin"],
        User: "app",
        WorkingDir: "/srv",
      },
      extra: [
        { path: "init", data: init, mode: 0o755 },
        { path: "tmp", type: "directory", mode: 0o1777 },
      ],
    });
    await kiln.ok(["run", "-q", "-d", "--name", "init", image]);
    // run -d comes back when the init has started something; its last is the sleep.
    const begun = "until grep -qs ^sleep /proc/[0-9]*/cmdline; do :; done";
    const seen = await sh("init", `${begun}; cat /tmp/who; tr '\\0' ' ' < /proc/1/cmdline; pwd`);
    assert.equal(seen, "1000\n/srv\nsleep 100000\n/bin/sh /init sleep 100000 /srv\n");
    await eventually("its words are in the log", async () =>
      /^told by init sleep 100000\r?$/m.test(await kiln.ok(["logs", "init"])) ? true : undefined,
    );
    const end = `for p in /proc/[0-9]*; do [ "$(tr '\\0' ' ' < $p/cmdline)" = "sleep 100000 " ] && kill \${p#/proc/}; done`;
    // Its end may come before the exec's own: nothing is said of that one.
    await kiln.kiln(["exec", "-u", "0", "init", "sh", "-c", end]);
    assert.equal((await kiln.ok(["wait", "init"])).trim(), "3");
    await kiln.ok(["start", "init"]);
    // The kernel drops what PID 1 has no handler for yet.
    await sh("init", begun);
    await kiln.ok(["stop", "init"]);
    const code = await kiln.ok(["inspect", "-f", "{{.State.ExitCode}}", "init"]);
    assert.equal(code.trim(), "5", "it is asked to end by the image's signal");
  });
});

it("refuses an image that exposes every port there is, at once and in a few words", async () => {
  const ExposedPorts = Object.fromEntries(Array.from({ length: 65_535 }, (_, at) => [`${at + 1}/tcp`, {}]));
  const image = await imageOf("ports", { run: { Cmd: ["true"], Env: ["PATH=/bin"], ExposedPorts } });
  const { code, stderr } = await kiln.kiln(["run", "-q", "--rm", "-P", image]);
  assert.equal(code, 125);
  assert.match(stderr, /more than 1024 published ports\nhint: publish the ones that are needed/);
});

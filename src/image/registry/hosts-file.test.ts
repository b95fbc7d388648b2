import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { loadHosts } from "./hosts-file.js";

describe("loadHosts", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-hosts-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const write = async (path: string, text: string) => {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  };
  const load = (registry = "docker.io") =>
    loadHosts(registry, [join(directory, "first"), join(directory, "second")]);
  const refuses = async (text: string, why: RegExp) => {
    await write("first/docker.io/hosts.toml", text);
    await assert.rejects(load(), { reason: "invalid-hosts-file", message: why });
  };

  it("knows nothing of a registry that is not configured", async () => assert.equal(await load(), undefined));
  it("keeps mirrors in the order of the file, with their own settings", async () => {
    await write(
      "first/docker.io/hosts.toml",
      `server = "https://registry-1.docker.io"
       [host."http://b.example:5000"]
         capabilities = ["pull"]
       [host."https://a.example/prefix"]
         skip_verify = true
         [host."https://a.example/prefix".header]
           x-key = ["v1", "v2"]
       [host."https://c.example/api/docker"]
         override_path = true`,
    );
    const hosts = await load();
    assert.deepEqual(
      hosts?.mirrors.map(({ url, pull, resolve }) => [url.href, pull, resolve]),
      [
        ["http://b.example:5000/v2", true, false],
        ["https://a.example/prefix/v2", true, true],
        ["https://c.example/api/docker", true, true],
      ],
    );
    assert.deepEqual(hosts?.mirrors[1]?.headers, { "x-key": ["v1", "v2"] });
    assert.equal(hosts?.mirrors[1]?.tls.skipVerify, true);
    assert.equal(hosts?.server?.href, "https://registry-1.docker.io/v2");
  });
  it("reads certificates beside the file", async () => {
    await write("first/docker.io/hosts.toml", 'ca = "ca.pem"\nclient = [["me.cert", "me.key"]]');
    for (const name of ["ca.pem", "me.cert", "me.key"]) await write(`first/docker.io/${name}`, name);
    assert.deepEqual((await load())?.origin.tls, {
      ca: ["ca.pem"],
      clientCertificates: [{ cert: "me.cert", key: "me.key" }],
      skipVerify: false,
    });
  });
  it("reads a directory with certificates only, as docker has it", async () => {
    for (const name of ["ca.crt", "me.cert", "me.key"]) await write(`first/localhost:5000/${name}`, name);
    const tls = (await load("localhost:5000"))?.origin.tls;
    assert.deepEqual(tls, { ca: ["ca.crt"], clientCertificates: [{ cert: "me.cert", key: "me.key" }] });
  });
  it("prefers the first directory, and a registry's own entry to _default", async () => {
    await write("first/_default/hosts.toml", 'server = "https://default.example"');
    await write("second/docker.io/hosts.toml", 'server = "https://second.example"');
    assert.equal((await load())?.server?.host, "second.example");
    assert.equal((await load("quay.io"))?.server?.host, "default.example");
    await write("first/docker.io/hosts.toml", 'server = "https://first.example"');
    assert.equal((await load())?.server?.host, "first.example");
  });
  const skip = process.getuid?.() === 0 ? "root may read every directory" : false;
  it("passes over a directory of others that it may not read", { skip }, async () => {
    await write("second/docker.io/hosts.toml", 'server = "https://second.example"');
    await chmod(join(directory, "second"), 0);
    assert.equal(await load(), undefined);
    await chmod(join(directory, "second"), 0o700);
  });
  it("refuses a misspelt key: a mirror must not be asked for more than was meant", () =>
    refuses('[host."https://a"]\ncapabilites = ["pull"]', /capabilites/));
  it("refuses what is not TOML", () => refuses("[host", /hosts\.toml/));
  it("refuses an address with a password in it", () =>
    refuses('server = "https://u:p@a.example"', /with a user/));
  it("refuses another scheme", () => refuses('server = "ftp://a.example"', /http\(s\) URL/));
  it("refuses a FIFO and an endless device, and certificates that are such, at once", async () => {
    const file = join(directory, "first/docker.io/hosts.toml");
    const why = { reason: "invalid-hosts-file", message: /is not a regular file/ };
    await mkdir(dirname(file), { recursive: true });
    execFileSync("mkfifo", [file]);
    await assert.rejects(load(), why);
    await rm(file);
    await symlink("/dev/zero", file);
    await assert.rejects(load(), why);
    await rm(file);
    execFileSync("mkfifo", [join(dirname(file), "ca.crt")]);
    await assert.rejects(load(), why);
  });
  it("refuses a certificate that is not there", () => refuses('ca = "gone.pem"', /gone\.pem does not exist/));
  it("refuses a header name that is none", () => refuses('[header]\n"a b" = "c"', /header/));
});

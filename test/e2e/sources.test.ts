// Every place that an image can come from, each by the real peer that makes or serves it, ends in a VM that runs: tars
// of `docker save`'s form, layouts, registries with Basic and with token authentication, a mirror, layers in gzip and
// zstd, and pulls that were cut or whose kilnd was killed.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage, busyboxMembers } from "../fixtures/busybox-image.js";
import { dataFiles } from "../fixtures/hostile/leftovers.js";
import { writeImage } from "../fixtures/images/image-layout.js";
import { NASTY_UNPACK_TIMES, nastyLayers } from "../fixtures/images/nasty-image.js";
import { archive, archiveBytes } from "../fixtures/images/tar-writer.js";
import { type FakeRegistry, startFakeRegistry } from "../fixtures/registry/fake-registry.js";
import {
  cannotRunRegistry,
  runProgram,
  startRegistry,
  type TestRegistry,
} from "../fixtures/registry/index.js";
import { openLine } from "../fixtures/registry/line.js";
import { type Blob, tinyImage } from "../fixtures/registry/tiny-image.js";
import { assertSameTree, guestTree, umociTree } from "./guest-tree.js";
import { eventually, TestKiln } from "./harness.js";

const skip = cannotRunRegistry(["umoci"]) ?? false;
/** Large enough to be cut in its middle, small enough to be made at once. */
const LARGE = 4 * 1024 * 1024;

let kiln: TestKiln;
let scratch = "";
let authFile = "";
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "kiln-sources-"));
  authFile = join(scratch, "auth.json");
  await writeFile(authFile, "{}");
  kiln = await TestKiln.start({ env: { REGISTRY_AUTH_FILE: authFile } });
});
after(async () => {
  await kiln.dispose();
  await rm(scratch, { recursive: true, force: true });
});

interface Marked {
  /** `oci:DIR:latest` */
  readonly layout: string;
  readonly mark: string;
}

/** An image that nothing else has: its /etc/mark says which, and `padding` random bytes make its layer large. */
async function markedImage(name: string, padding = 0): Promise<Marked> {
  const mark = `${name} ${randomBytes(8).toString("hex")}`;
  const extra = [
    { path: "etc/mark", data: mark },
    { path: "etc/padding", data: randomBytes(padding) },
  ];
  return { layout: await busyboxImage(join(scratch, name), { extra }), mark };
}

/** Runs it in a VM: only what came through the source under test can say the mark. */
async function assertRuns(image: string, mark: string): Promise<void> {
  assert.equal(await kiln.ok(["run", "--rm", "--network", "none", image, "cat", "/etc/mark"]), mark);
  // What is looked at next may lie beside the VM, or need its image to be nobody's.
  await kiln.untilNoVm();
}

/** A layout with the tag `nasty`, of everything that goes wrong in layers. Plain: skopeo compresses only what is not. */
async function nastyLayout(name: string): Promise<string> {
  const layout = join(scratch, `nasty-${name}`);
  const programs = [
    { path: "busybox", data: await readFile("/bin/busybox"), mode: 0o755 },
    // Else the second image would only be the first under another name.
    { path: "etc/name", data: name },
  ];
  const compression = "none";
  const layers = [
    ...nastyLayers({ files: 200, compression }),
    { tar: archive(programs), compression } as const,
  ];
  await writeImage(layout, { layers, tag: "nasty" });
  return layout;
}

async function logIn(registry: TestRegistry): Promise<void> {
  await writeFile(authFile, JSON.stringify({ auths: { [registry.host]: { auth: registry.basicAuth } } }));
}

/** Bytes of the largest blob of a marked image: its one layer. */
async function largestBlob(name: string): Promise<number> {
  const blobs = join(scratch, name, "blobs/sha256");
  const sizes = (await readdir(blobs)).map(async (blob) => (await stat(join(blobs, blob))).size);
  return Math.max(...(await Promise.all(sizes)));
}

/** A marked image with one large layer, served by the test itself. */
async function servedImage(registry: FakeRegistry): Promise<{ image: string; layer: Blob; mark: string }> {
  const mark = randomBytes(8).toString("hex");
  const extra = [
    { path: "etc/mark", data: mark },
    { path: "etc/padding", data: randomBytes(LARGE) },
  ];
  const tars = [archiveBytes([...(await busyboxMembers()), ...extra])];
  const served = tinyImage({ tars, compress: false, run: { Env: ["PATH=/bin"] } });
  registry.addImage("team/killed", "v1", served);
  const [layer] = served.layers;
  assert.ok(layer);
  return { image: `${registry.host}/team/killed:v1`, layer, mark };
}

describe("images on this machine", { skip }, () => {
  it("run from a tar as `docker save` writes it, under the name it has there", async () => {
    const { layout, mark } = await markedImage("saved");
    const file = join(scratch, "saved.tar");
    await runProgram("skopeo", [
      "copy",
      "--quiet",
      layout,
      `docker-archive:${file}:example.com/team/saved:v2`,
    ]);
    await assertRuns(`docker-archive:${file}`, mark);
    assert.match(await kiln.ok(["images"]), /^example\.com\/team\/saved +v2 /m);
  });

  it("run from an OCI layout", async () => {
    const { layout, mark } = await markedImage("layout");
    await assertRuns(layout, mark);
  });

  it("run from an OCI archive, by tag", async () => {
    const { layout, mark } = await markedImage("archived");
    const file = join(scratch, "archived.tar");
    await runProgram("skopeo", ["copy", "--quiet", layout, `oci-archive:${file}:v3`]);
    await assertRuns(`oci-archive:${file}:v3`, mark);
  });
});

describe("images of a registry", { skip }, () => {
  it("run with Basic authentication, credentials from the auth file", async () => {
    await using registry = await startRegistry({ auth: "basic" });
    const { layout, mark } = await markedImage("basic");
    await registry.push(layout, "team/app:v1");
    await logIn(registry);
    await assertRuns(`${registry.host}/team/app:v1`, mark);
  });

  it("run with token authentication, credentials from the command line", async () => {
    await using registry = await startRegistry({ auth: "token" });
    const { layout, mark } = await markedImage("token");
    await registry.push(layout, "team/app:v1");
    await writeFile(authFile, "{}");
    const image = `${registry.host}/team/app:v1`;
    await kiln.ok(["pull", "--creds", `${registry.username}:${registry.password}`, image]);
    assert.ok((registry.tokenServer?.asked.length ?? 0) > 0, "a token was asked for");
    await assertRuns(image, mark);
  });

  it("run from a mirror when the registry that they name is down", async () => {
    await using mirror = await startRegistry();
    const { layout, mark } = await markedImage("mirrored");
    await mirror.push(layout, "team/app:v1");
    const hosts = join(kiln.root, "config", "certs.d", "registry.invalid");
    await mkdir(hosts, { recursive: true });
    await writeFile(
      join(hosts, "hosts.toml"),
      `server = "https://registry.invalid"\n[host."http://${mirror.host}"]\n`,
    );
    await assertRuns("registry.invalid/team/app:v1", mark);
    assert.match(await kiln.ok(["images"]), /^registry\.invalid\/team\/app +v1 /m);
  });

  for (const wanted of ["gzip", "zstd"] as const) {
    it(`have the tree that umoci unpacks when skopeo pushed their layers as ${wanted}`, {
      skip: process.getuid?.() === 0 ? false : "umoci restores owners and devices as root only",
    }, async () => {
      const layout = await nastyLayout(wanted);
      // One for each test: skopeo would rather reuse blobs that a registry has than compress again.
      await using registry = await startRegistry();
      const image = `${registry.host}/team/nasty:v1`;
      await registry.push(`oci:${layout}:nasty`, "team/nasty:v1", { compression: wanted });
      const inspect = ["inspect", "--raw", "--tls-verify=false", `docker://${image}`];
      assert.match(await runProgram("skopeo", inspect), new RegExp(`tar\\+${wanted}"`), "skopeo did as told");
      const tree = await guestTree(kiln, image, ["/busybox", "sleep", "100000"]);
      // umoci knows no zstd: it unpacks what was pushed.
      assertSameTree(tree, await umociTree(layout, "nasty", scratch), NASTY_UNPACK_TIMES);
    });
  }
});

describe("a pull that is interrupted", { skip }, () => {
  it("goes on by Range after the connection was cut in the middle of a layer", async () => {
    await using registry = await startRegistry();
    const { layout, mark } = await markedImage("cut", LARGE);
    await registry.push(layout, "team/cut:v1");
    await using line = await openLine(registry.host);
    line.cutAfter(LARGE / 2);
    await assertRuns(`${line.host}/team/cut:v1`, mark);
    assert.equal(line.cuts, 1);
    const [, from] = /\r\nrange: bytes=([0-9]+)-\r\n/i.exec(line.said) ?? [];
    assert.ok(Number(from) > LARGE / 4, `asked again from ${from}`);
    const size = await largestBlob("cut");
    assert.ok(line.bytes < size + LARGE / 4, `${line.bytes} bytes for a layer of ${size}`);
  });

  it("goes on by Range after kilnd was killed in the middle of a layer", async () => {
    await using registry = await startFakeRegistry();
    const { image, layer, mark } = await servedImage(registry);
    registry.intercept = (request, response) => {
      if (request.url?.endsWith(layer.digest) !== true) return false;
      // The rest never comes: kilnd waits for it when it is killed.
      response.setHeader("content-length", layer.bytes.length);
      response.write(layer.bytes.subarray(0, LARGE / 2));
      return true;
    };
    const pulling = kiln.kiln(["pull", image]);
    const part = join(kiln.root, "data", "ingest", `${layer.digest.slice("sha256:".length)}.part`);
    await eventually("half of the layer is on disk", async () => {
      const size = await stat(part).then(
        (found) => found.size,
        () => 0,
      );
      return size >= LARGE / 4 ? true : undefined;
    });
    await kiln.stopDaemon("SIGKILL");
    const cut = await pulling;
    assert.equal(cut.code, 1);
    assert.match(cut.stderr, /^kiln: .*kilnd/m);
    registry.intercept = () => false;
    const asked = registry.requests.length;
    await kiln.startDaemon();
    await assertRuns(image, mark);
    const [range] = registry.requests
      .slice(asked)
      .flatMap(({ path, headers }) => (path.endsWith(layer.digest) ? [headers.range] : []));
    const [, from] = /^bytes=([0-9]+)-$/.exec(range ?? "") ?? [];
    assert.ok(Number(from) >= LARGE / 4, `asked again from ${range}`);
    assert.deepEqual(
      (await dataFiles(kiln)).filter((path) => path.startsWith("ingest")),
      [],
    );
  });
});

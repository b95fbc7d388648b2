// Registries that lie, break, refuse or stay silent: each ends in one message that names the image and the cause, and
// leaves nothing behind.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { after, afterEach, before, describe, it } from "node:test";
import { assertNothingLeft } from "../fixtures/hostile/leftovers.js";
import { assertRefused, literally } from "../fixtures/hostile/refusal.js";
import { type FakeRegistry, sendError, startFakeRegistry } from "../fixtures/registry/fake-registry.js";
import {
  blob,
  indexOf,
  OCI_MANIFEST,
  type TinyImage,
  tarOf,
  tinyImage,
} from "../fixtures/registry/tiny-image.js";
import { eventually, TestKiln } from "./harness.js";

/** Nobody's credentials. */
const env = { HOME: "/nonexistent", REGISTRY_AUTH_FILE: undefined };

let kiln: TestKiln;
let registry: FakeRegistry;
before(async () => {
  registry = await startFakeRegistry();
  const daemonArgs = ["--pull-answer-timeout=1s", "--pull-stall-timeout=1s", "--pull-attempts=2"];
  kiln = await TestKiln.start({ daemonArgs, env });
});
afterEach(() => {
  registry.intercept = () => false;
});
after(async () => {
  await registry.close();
  await kiln.dispose();
});

/** Its own for each test: what an earlier one left would be seen. */
let count = 0;
function served(image: TinyImage): { name: string; layer: TinyImage["layers"][number] } {
  const repository = `bad${++count}`;
  registry.addImage(repository, "v1", image);
  const [layer] = image.layers;
  assert.ok(layer);
  return { name: `${registry.host}/${repository}:v1`, layer };
}

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

function answer(part: string, how: Answer): void {
  registry.intercept = (request, response) => {
    if (request.url?.includes(part) !== true) return false;
    how(response, request);
    return true;
  };
}

async function assertRunFails(image: string, message: string, hint?: RegExp): Promise<void> {
  const result = await kiln.kiln(["run", "--rm", image, "true"]);
  assertRefused(result, { message: new RegExp(`^${message}$`), ...(hint === undefined ? {} : { hint }) });
  await assertNothingLeft(kiln);
}

describe("what a registry sends", () => {
  it("is refused where a layer has another digest", async () => {
    const { name, layer } = served(tinyImage());
    answer(layer.digest, (response) => response.end(randomBytes(layer.bytes.length)));
    const message = `pull ${literally(name)}: blob ${layer.digest}: ${registry.host} sent sha256:[0-9a-f]{64} instead`;
    await assertRunFails(name, message, /damaged/);
  });

  it("is refused where the manifest has another digest than was asked for", async () => {
    const { name } = served(tinyImage());
    const wanted = `sha256:${"0".repeat(64)}`;
    const pinned = `${name.replace(/:v1$/, "")}@${wanted}`;
    const manifest = tinyImage().manifest;
    answer("/manifests/", (response) => {
      response.setHeader("content-type", manifest.mediaType);
      response.end(manifest.bytes);
    });
    const message = `manifest of ${literally(pinned)}: ${registry.host} sent ${manifest.digest} instead of ${wanted}`;
    await assertRunFails(pinned, message, /changes content/);
  });

  it("is refused where a layer is shorter than the manifest says", async () => {
    const { name, layer } = served(tinyImage());
    answer(layer.digest, (response) => response.end(layer.bytes.subarray(0, 50)));
    const message = `pull ${literally(name)}: blob ${layer.digest}: ${registry.host} has 50 bytes of it, the manifest says ${layer.bytes.length}`;
    await assertRunFails(name, message, /truncated/);
  });

  it("is refused where a layer's media type is unknown", async () => {
    const mediaType = "application/vnd.acme.layer.v9+brotli";
    const { layers, config } = tinyImage();
    const [layer] = layers;
    assert.ok(layer);
    const descriptor = { mediaType, digest: layer.digest, size: layer.bytes.length };
    const document = {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { ...config, bytes: undefined, size: config.bytes.length },
      layers: [descriptor],
    };
    const { name } = served({ manifest: blob(JSON.stringify(document), OCI_MANIFEST), layers, config });
    const message = `${literally(name)}: layer ${layer.digest}: media type ${literally(mediaType)} is no layer that kiln can read`;
    await assertRunFails(name, message, /Docker schema 2/);
  });

  it("is refused where the manifest is a web page", async () => {
    const image = tinyImage();
    const { name } = served({ ...image, manifest: blob("<html>Sign in</html>", "text/html") });
    await assertRunFails(
      name,
      `manifest of ${literally(name)}: it is not a JSON object but text/html`,
      /proxy/,
    );
  });

  it("is refused where it is for another architecture", async () => {
    const { name } = served(tinyImage({ architecture: "s390x" }));
    await assertRunFails(
      name,
      `${literally(name)} is not built for linux/amd64(/v[234])?; it is for linux/s390x`,
      /linux\/amd64/,
    );
  });

  it("is refused where none of an index's images is for this architecture", async () => {
    const [arm, power] = [tinyImage({ architecture: "arm64" }), tinyImage({ architecture: "ppc64le" })];
    const { name } = served(arm);
    const index = indexOf([
      { image: arm, platform: "linux/arm64/v8" },
      { image: power, platform: "linux/ppc64le" },
    ]);
    registry.addManifest(`bad${count}`, "v1", index);
    await assertRunFails(
      name,
      `${literally(name)} is not built for linux/amd64(/v[234])?; it is for linux/arm64, linux/ppc64le`,
    );
  });
});

describe("what a registry refuses", () => {
  it("is said where there is no such tag", async () => {
    const { name } = served(tinyImage());
    const missing = name.replace(/:v1$/, ":v2");
    await assertRunFails(
      missing,
      `no such image: ${literally(missing)} \\(asked ${registry.host}\\)`,
      /name and the tag/,
    );
  });

  for (const [status, code, why, hint] of [
    [401, "UNAUTHORIZED", " \\(no credentials were found for it\\)", /log in/],
    [403, "DENIED", "", /log in/],
    [429, "TOOMANYREQUESTS", " \\(it asks to wait 3600 s\\)", /try again in 3600 s/],
    [500, "UNKNOWN", "", /try again later/],
  ] as const) {
    it(`is said where it answers ${status}`, async () => {
      const { name } = served(tinyImage());
      answer("/v2/bad", (response) => {
        if (status === 401) response.setHeader("www-authenticate", 'Basic realm="here"');
        if (status === 429) response.setHeader("retry-after", "3600");
        sendError(response, status, code, "so it says");
      });
      const message = `pull ${literally(name)}: ${registry.host} answered HTTP ${status}: ${code} so it says${why}`;
      await assertRunFails(name, message, hint);
    });
  }
});

describe("a registry that stays silent", () => {
  it("is given up after the time-out", async () => {
    const { name } = served(tinyImage());
    answer("/v2/bad", () => undefined);
    await assertRunFails(
      name,
      `pull ${literally(name)}: registry ${registry.host}: no answer within 1 s`,
      /slow/,
    );
    assert.equal(
      registry.requests.filter(({ path }) => path.includes(`/bad${count}/`)).length,
      2,
      "two tries",
    );
  });

  it("leaves what it sent of a layer for the next pull, until it is pruned", async () => {
    const { name, layer } = served(
      tinyImage({ tars: [tarOf({ data: randomBytes(200_000) })], compress: false }),
    );
    answer(layer.digest, (response) => {
      response.setHeader("content-length", layer.bytes.length);
      response.write(layer.bytes.subarray(0, 100_000));
    });
    const result = await kiln.kiln(["run", "--rm", name, "true"]);
    const message = new RegExp(`^pull ${literally(name)}: blob ${layer.digest}: no answer within 1 s$`);
    assertRefused(result, { message, hint: /resumes where it stopped/ });
    const downloads = async () => /^downloads +1 +0 +(\S+)/m.exec(await kiln.ok(["system", "df"]))?.[1];
    assert.match((await downloads()) ?? "", /^1\d\d(\.\d)?kB$/);
    await kiln.ok(["system", "prune", "-f"]);
    await assertNothingLeft(kiln);
  });
});

describe("a registry that stays silent, while kilnd waits for it", () => {
  /** Its kilnd has more patience than a busy machine takes to bring a signal: it asks again by itself otherwise. */
  let patient: TestKiln;
  before(async () => {
    patient = await TestKiln.start({ env });
  });
  after(() => patient.dispose());

  it("is left at once when the user gives up", async () => {
    const { name } = served(tinyImage());
    const hungUp = new Promise((resolve) => {
      answer("/v2/bad", (response) => response.once("close", resolve));
    });
    const pulling = patient.spawn(["pull", name]);
    const ended = new Promise((resolve) => pulling.once("exit", (code, signal) => resolve(code ?? signal)));
    const asked = () => Promise.resolve(registry.asked(`/bad${count}/`).length > 0 ? true : undefined);
    await eventually("kilnd asks the registry", asked);
    pulling.kill("SIGINT");
    assert.equal(await ended, 130);
    await hungUp;
    assert.equal(registry.asked(`/bad${count}/`).length, 1, "kilnd does not try again for nobody");
    await assertNothingLeft(patient);
  });
});

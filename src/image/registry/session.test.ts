import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { inspect } from "node:util";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { makeCertificate } from "../../../test/fixtures/registry/certificate.js";
import {
  type FakeRegistry,
  sendError,
  startFakeRegistry,
} from "../../../test/fixtures/registry/fake-registry.js";
import { openStoreLab, type StoreLab } from "../../../test/fixtures/registry/store-lab.js";
import { type TinyImage, tinyImage } from "../../../test/fixtures/registry/tiny-image.js";
import { KilnError } from "../../base/errors.js";
import type { RegistryCredentials } from "../types.js";

const BASIC = `Basic ${Buffer.from("me:SECRET").toString("base64")}`;
const ME = { username: "me", password: "SECRET" };

let registry: FakeRegistry;
let tokens: FakeRegistry;
let lab: StoreLab;
let image: TinyImage;
beforeEach(async () => {
  registry = await startFakeRegistry();
  tokens = await startFakeRegistry();
  lab = await openStoreLab();
  image = tinyImage();
  registry.addImage("a", "v1", image);
});
afterEach(async () => {
  await registry.close();
  await tokens.close();
  await lab[Symbol.asyncDispose]();
});

const pull = (credentials?: RegistryCredentials) =>
  lab.pull(
    `${registry.host}/a:v1`,
    credentials === undefined ? {} : { credentials: new Map([[registry.host, credentials]]) },
  );

/** Lets only requests with this header in; the others get the challenge. */
function protect(challenge: string, isWelcome: (header: string | undefined) => boolean): void {
  registry.intercept = (request, response) => {
    if (isWelcome(request.headers.authorization)) return false;
    response.setHeader("www-authenticate", challenge);
    sendError(response, 401, "UNAUTHORIZED", "authentication required");
    return true;
  };
}

function answerTokens(answer: (request: IncomingMessage, response: ServerResponse) => void): void {
  tokens.intercept = (request, response) => {
    answer(request, response);
    return true;
  };
}

async function rejection(pulling: Promise<unknown>): Promise<KilnError> {
  const error: unknown = await pulling.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof KilnError);
  // with its causes and all their properties, as a careless log would show it
  assert.doesNotMatch(inspect(error, { depth: 8 }), /SECRET|U0VDUkVU/, "a secret is in the error");
  return error;
}

describe("Basic", () => {
  beforeEach(() => protect('Basic realm="x"', (header) => header === BASIC));

  it("logs in when it is asked to, and not before", async () => {
    await pull(ME);
    assert.equal(registry.requests[0]?.headers.authorization, undefined);
    assert.equal(registry.requests.at(-1)?.headers.authorization, BASIC);
  });
  it("asks only once: later requests bring the password along", async () => {
    await pull(ME);
    assert.equal(registry.requests.filter(({ headers }) => headers.authorization === undefined).length, 1);
  });
  it("says that there are no credentials", async () => {
    const error = await rejection(pull());
    assert.equal(error.reason, "unauthorized");
    assert.match(error.message, /a:v1.*HTTP 401.*no credentials were found/);
  });
  it("does not try a wrong password twice", async () => {
    const error = await rejection(pull({ username: "me", password: "WRONG" }));
    assert.equal(error.reason, "unauthorized");
    assert.equal(registry.requests.length, 2);
  });
  it("finds credentials in the user's files", async () => {
    lab.env.REGISTRY_AUTH_FILE = join(lab.directory, "auth.json");
    const auth = BASIC.slice("Basic ".length);
    await writeFile(lab.env.REGISTRY_AUTH_FILE, JSON.stringify({ auths: { [registry.host]: { auth } } }));
    assert.equal((await pull()).id, image.config.digest);
  });
  it("does not show another registry's credentials", async () => {
    const credentials = new Map([[tokens.host, ME]]);
    await rejection(lab.pull(`${registry.host}/a:v1`, { credentials }));
    assert.ok(registry.requests.every(({ headers }) => headers.authorization === undefined));
  });
});

describe("Bearer", () => {
  const challenge = () => `Bearer realm="${tokens.origin}/token",service="svc",scope="repository:a:pull"`;
  beforeEach(() => protect(challenge(), (header) => header === "Bearer good"));

  it("fetches a token anonymously", async () => {
    answerTokens((_request, response) => response.end('{"token":"good"}'));
    await pull();
    assert.equal(tokens.requests[0]?.path, "/token?service=svc&scope=repository%3Aa%3Apull");
    assert.equal(tokens.requests.length, 1);
  });
  for (const [encoding, encode] of [
    ["gzip", gzipSync],
    ["x-gzip", gzipSync],
    ["deflate", deflateSync],
    ["br", brotliCompressSync],
    ["identity", Buffer.from],
  ] as const)
    it(`reads an answer in the content encoding ${encoding}, token and manifest`, async () => {
      answerTokens((_request, response) => {
        response.setHeader("content-encoding", encoding);
        response.end(encode(Buffer.from('{"token":"","access_token":"good"}')));
      });
      registry.intercept = (request, response) => {
        if (request.headers.authorization !== "Bearer good") {
          response.setHeader("www-authenticate", challenge());
          sendError(response, 401, "UNAUTHORIZED", "authentication required");
          return true;
        }
        if (!request.url?.endsWith("/manifests/v1")) return false;
        response.setHeader("content-type", image.manifest.mediaType);
        response.setHeader("content-encoding", encoding);
        response.end(encode(image.manifest.bytes));
        return true;
      };
      assert.equal((await pull()).id, image.config.digest);
    });
  for (const [what, encoding, body, reason] of [
    ["that is a bomb", "gzip", gzipSync(Buffer.alloc(2 ** 22, "SECRET")), "image-too-large"],
    ["in an encoding that it is not in", "gzip", Buffer.from('{"token":"SECRET"}'), "registry-error"],
    ["in an encoding of its own", "own", Buffer.from("x"), "registry-error"],
  ] as const)
    it(`refuses an answer ${what}`, async () => {
      answerTokens((_request, response) => {
        response.setHeader("content-encoding", encoding);
        response.end(body);
      });
      await assert.rejects(pull(), { reason });
    });
  it("shows the password to the token server only", async () => {
    answerTokens((_request, response) => response.end('{"access_token":"good"}'));
    await pull(ME);
    assert.equal(tokens.requests[0]?.headers.authorization, BASIC);
    assert.ok(registry.requests.every(({ headers }) => headers.authorization !== BASIC));
  });
  it("trades an identity token for a token", async () => {
    answerTokens((_request, response) => response.end('{"access_token":"good"}'));
    await pull({ identityToken: "SECRET" });
    const [request] = tokens.requests;
    assert.equal(request?.method, "POST");
    assert.equal(new URLSearchParams(request?.body).get("refresh_token"), "SECRET");
    assert.doesNotMatch(request?.path ?? "", /SECRET/);
  });
  it("shows a token that was given as it is, and asks nobody for another", async () => {
    await pull({ registryToken: "good" });
    assert.equal(tokens.requests.length, 0);
  });
  it("does not try a given token twice", async () => {
    const error = await rejection(pull({ registryToken: "SECRET" }));
    assert.equal(error.reason, "unauthorized");
    assert.equal(registry.requests.length, 2);
  });
  it("fetches another token when the registry no longer takes the first", async () => {
    const layer = image.layers[0]?.digest ?? "";
    let issued = 0;
    answerTokens((_request, response) => response.end(JSON.stringify({ token: `t${++issued}` })));
    registry.intercept = (request, response) => {
      const good = request.url?.endsWith(layer) ? "Bearer t2" : "Bearer t1";
      if (request.headers.authorization === good) return false;
      response.setHeader("www-authenticate", challenge());
      sendError(response, 401, "UNAUTHORIZED", "token expired");
      return true;
    };
    await pull();
    assert.equal(issued, 2);
  });
  it("shares one log-in among layers", async () => {
    const many = tinyImage({
      tars: [1, 2, 3, 4].map((n) => tinyImage().layers[0]?.bytes ?? Buffer.alloc(n)),
    });
    registry.addImage("a", "v1", many);
    answerTokens((_request, response) => response.end('{"token":"good"}'));
    await pull();
    assert.equal(tokens.requests.length, 1);
  });
  it("reports a refused password with the token server's words", async () => {
    answerTokens((_request, response) => sendError(response, 401, "UNAUTHORIZED", "who are you? SECRET"));
    const error = await rejection(pull(ME));
    assert.equal(error.reason, "unauthorized");
    assert.match(error.message, /log in to .*HTTP 401: UNAUTHORIZED who are you\? \*\*\*/);
  });
  it("reports a token that opens nothing", async () => {
    answerTokens((_request, response) => response.end('{"token":"useless-SECRET"}'));
    const error = await rejection(pull(ME));
    assert.equal(error.reason, "unauthorized");
  });
  it("does not follow a redirect with an identity token", async () => {
    await using elsewhere = await startFakeRegistry();
    answerTokens((_request, response) =>
      response.writeHead(307, { location: `${elsewhere.origin}/token` }).end(),
    );
    await rejection(pull({ identityToken: "SECRET" }));
    assert.equal(elsewhere.requests.length, 0);
  });
  it("shows no password to a host that the token server redirects to", async () => {
    await using elsewhere = await startFakeRegistry();
    elsewhere.intercept = (_request, response) => {
      response.end('{"token":"good"}');
      return true;
    };
    answerTokens((_request, response) =>
      response.writeHead(307, { location: `${elsewhere.origin}/token` }).end(),
    );
    await pull(ME);
    assert.equal(elsewhere.requests[0]?.headers.authorization, undefined);
  });
  it("bounds a token server's answer", async () => {
    answerTokens((_request, response) => response.end("x".repeat(2 * 1024 * 1024)));
    assert.equal((await rejection(pull())).reason, "image-too-large");
  });
});

describe("redirected blobs", () => {
  it("reach the other host without credentials, and its 401 gets none either", async () => {
    await using storage = await startFakeRegistry();
    const layer = image.layers[0];
    assert.ok(layer);
    storage.addBlob(layer);
    let refusals = 1;
    storage.intercept = (_request, response) => {
      if (refusals-- <= 0) return false;
      response.setHeader("www-authenticate", 'Basic realm="give me"');
      sendError(response, 401, "UNAUTHORIZED", "give me");
      return true;
    };
    registry.intercept = (request, response) => {
      if (request.headers.authorization !== BASIC) {
        response.setHeader("www-authenticate", 'Basic realm="x"');
        sendError(response, 401, "UNAUTHORIZED", "log in");
      } else if (request.url?.endsWith(layer.digest)) {
        response
          .writeHead(307, { location: `${storage.origin}/v2/a/blobs/${layer.digest}?sig=SECRET` })
          .end();
      } else return false;
      return true;
    };
    const error = await rejection(pull(ME));
    assert.equal(error.reason, "unauthorized");
    assert.equal((await pull(ME)).id, image.config.digest);
    assert.ok(storage.requests.length >= 2);
    assert.ok(storage.requests.every(({ headers }) => headers.authorization === undefined));
  });
});

describe("unknown log-ins", () => {
  it("names the schemes that it does not know", async () => {
    protect("Negotiate, Digest realm=x", () => false);
    const error = await rejection(pull(ME));
    assert.equal(error.reason, "unauthorized");
    assert.match(error.message, /negotiate, digest/);
  });
  it("reports 403", async () => {
    registry.intercept = (_request, response) => {
      sendError(response, 403, "DENIED", "not for you");
      return true;
    };
    const error = await rejection(pull(ME));
    assert.equal(error.reason, "unauthorized");
    assert.match(error.message, /HTTP 403: DENIED not for you/);
  });
});

describe("TLS", () => {
  const certificate = makeCertificate(["127.0.0.1"]);

  it("refuses a certificate that nobody vouches for, and takes it once it is configured", async () => {
    await using secure = await startFakeRegistry({ tls: certificate });
    secure.addImage("a", "v1", image);
    const name = `${secure.host}/a:v1`;
    assert.equal((await rejection(lab.pull(name))).reason, "tls-error");
    assert.equal(secure.requests.length, 0);
    const directory = join(lab.configRoot, "certs.d", secure.host);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "ca.crt"), certificate.cert);
    assert.equal((await lab.pull(name)).id, image.config.digest);
  });
  it("trusts the bundle that SSL_CERT_FILE names", async () => {
    await using secure = await startFakeRegistry({ tls: certificate });
    secure.addImage("a", "v1", image);
    lab.env.SSL_CERT_FILE = join(lab.directory, "bundle.pem");
    await writeFile(lab.env.SSL_CERT_FILE, certificate.cert);
    assert.equal((await lab.pull(`${secure.host}/a:v1`)).id, image.config.digest);
  });
  it("refuses a certificate for another name", async () => {
    const other = makeCertificate(["other.example"]);
    await using secure = await startFakeRegistry({ tls: other });
    lab.env.SSL_CERT_FILE = join(lab.directory, "bundle.pem");
    await writeFile(lab.env.SSL_CERT_FILE, other.cert);
    assert.equal((await rejection(lab.pull(`${secure.host}/a:v1`))).reason, "tls-error");
  });
});

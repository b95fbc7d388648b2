// Firecracker's HTTP API over the microVM: paths, states and refusals as in its swagger file and parsed_request.rs.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Microvm } from "./microvm.js";
import {
  ActionError,
  PRE_BOOT,
  refuseLoad,
  refuseMissing,
  refuseSnapshot,
  refuseUnplug,
  unknownPath,
} from "./refusals.js";
import { type Body, BodyError, readBody, type ShapeName } from "./schema.js";

export interface ApiFacts {
  readonly id: string;
  readonly version: string;
  flushMetrics(): void;
  /** A call has come while the configuration file's VM starts. */
  waits(): void;
  /** The process ends with an error once this call is answered. */
  endSoon(): void;
}

const MAX_BODY_BYTES = 51_200;
const METHODS = ["GET", "PUT", "PATCH", "DELETE"];

/** PUT of one resource; those with an id have it in the path too. */
const RESOURCES: Readonly<Record<string, { shape: ShapeName; idField?: string }>> = {
  "boot-source": { shape: "boot-source" },
  "machine-config": { shape: "machine-config" },
  drives: { shape: "drive", idField: "drive_id" },
  "network-interfaces": { shape: "network-interface", idField: "iface_id" },
  vsock: { shape: "vsock" },
  balloon: { shape: "balloon" },
  entropy: { shape: "entropy" },
  logger: { shape: "logger" },
  metrics: { shape: "metrics" },
  serial: { shape: "serial" },
};

/** `ready` holds all answers back until the configuration file's VM has started. */
export function createApi(vm: Microvm, facts: ApiFacts, ready: Promise<unknown>): Server {
  return createServer((request, response) => {
    const wrong = refusedByHttp(request);
    if (wrong !== undefined) return refuseByHttp(response, wrong);
    facts.waits();
    void ready.then(() => answer(vm, facts, request, response));
  });
}

/** What the real one's HTTP layer refuses before anybody else hears of the call. */
function refusedByHttp({ method = "", headers }: IncomingMessage): string | undefined {
  if (!METHODS.includes(method)) return "Invalid HTTP Method.";
  const size = Number(headers["content-length"] ?? 0);
  return size > MAX_BODY_BYTES ? tooLong(size) : undefined;
}

function tooLong(size: number): string {
  return `Request payload with size ${size} is larger than the limit of ${MAX_BODY_BYTES} allowed by server.`;
}

/** In the words of that layer: with a line end in the string, which is no JSON. */
function refuseByHttp(response: ServerResponse, why: string): void {
  response
    .writeHead(400, { "content-type": "application/json", connection: "close" })
    .end(`{ "error": "${why}\nAll previous unanswered requests will be dropped." }`);
}

/** A body without a length that is too long. */
class TooLong extends Error {}

async function answer(vm: Microvm, facts: ApiFacts, request: IncomingMessage, response: ServerResponse) {
  try {
    const text = await readText(request);
    const result = await route(vm, facts, request.method ?? "", request.url ?? "/", text);
    if (result === undefined) response.writeHead(204).end();
    else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(result));
  } catch (error) {
    if (error instanceof TooLong) return refuseByHttp(response, error.message);
    const fault_message =
      error instanceof BodyError
        ? `An error occurred when deserializing the json body of a request: ${error.message}.`
        : (error as Error).message;
    response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify({ fault_message }));
  }
}

async function route(
  vm: Microvm,
  facts: ApiFacts,
  method: string,
  url: string,
  text: string,
): Promise<unknown> {
  const [resource = "", id] = url.replace(/^\//, "").split("/");
  if (method === "GET") {
    if (text !== "") throw new ActionError("GET request cannot have a body.");
    return get(vm, facts, url);
  }
  if (method === "DELETE") throw refuseUnplug(vm.state, resource, url);
  if (method !== "PUT" && method !== "PATCH") throw unknownPath(method, url);
  if (text === "") throw new ActionError(`Empty ${method} request.`);
  const body = parse(text);
  return method === "PUT" ? put(vm, facts, resource, id, body) : patch(vm, resource, id, url, body);
}

/** @throws ActionError where the body names another id than the path, or none is in the path */
function checkSameId(id: string | undefined, body: Body, field: string): void {
  if (body[field] !== id) throw new ActionError("The id from the path does not match the id from the body!");
}

function get(vm: Microvm, facts: ApiFacts, url: string): unknown {
  switch (url) {
    case "/":
      return { id: facts.id, state: vm.state, vmm_version: facts.version, app_name: "Firecracker" };
    case "/version":
      return { firecracker_version: facts.version };
    case "/vm/config":
      return vm.config;
    case "/machine-config":
      return vm.machineConfig;
    case "/balloon":
      return vm.balloon;
    case "/balloon/statistics":
      throw refuseMissing(vm.state, "Balloon statistics");
    default:
      throw unknownPath("GET", url);
  }
}

async function put(vm: Microvm, facts: ApiFacts, resource: string, id: string | undefined, body: unknown) {
  if (resource === "actions") return act(vm, facts, readBody("action", body));
  if (resource === "snapshot") return snapshot(vm, facts, id, body);
  const known = RESOURCES[resource];
  if (known === undefined) throw unknownPath("PUT", resource);
  const checked = readBody(known.shape, body);
  if (known.idField !== undefined) checkSameId(id, checked, known.idField);
  vm.configure(known.shape, checked);
  return undefined;
}

async function act(vm: Microvm, facts: ApiFacts, body: Body): Promise<undefined> {
  if (body.action_type === "InstanceStart") {
    await vm.start();
  } else {
    if (vm.state === "Not started") throw new ActionError(PRE_BOOT);
    // SendCtrlAltDel is taken and, as without a keyboard driver in the guest, without effect.
    if (body.action_type === "FlushMetrics") facts.flushMetrics();
  }
  return undefined;
}

/** Neither is there; what the real one refuses is refused in its words. */
function snapshot(vm: Microvm, facts: ApiFacts, what: string | undefined, body: unknown): undefined {
  if (what === "create") {
    readBody("snapshot-create", body);
    throw refuseSnapshot(vm.state);
  }
  if (what !== "load") throw unknownPath("PUT", `/snapshot/${what ?? ""}`);
  readBody("snapshot-load", body);
  const { refusal, ends } = refuseLoad(vm.state, vm.isConfigured);
  if (ends) facts.endSoon();
  throw refusal;
}

async function patch(
  vm: Microvm,
  resource: string,
  id: string | undefined,
  url: string,
  body: unknown,
): Promise<undefined> {
  if (url === "/vm") await vm.setState(String(readBody("vm-state", body).state));
  else if (url === "/balloon") await vm.updateBalloon(Number(readBody("balloon-update", body).amount_mib));
  else if (url === "/balloon/statistics") {
    readBody("balloon-statistics", body);
    throw refuseMissing(vm.state, "Balloon statistics");
  } else if (resource === "drives") {
    const checked = readBody("drive-update", body);
    checkSameId(id, checked, "drive_id");
    await vm.updateDrive(checked);
  } else if (resource === "network-interfaces") {
    const checked = readBody("network-update", body);
    checkSameId(id, checked, "iface_id");
    throw refuseMissing(vm.state, "Rate limits");
  } else throw unknownPath("PATCH", url);
  return undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BodyError((error as Error).message);
  }
}

async function readText(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > MAX_BODY_BYTES) throw new TooLong(tooLong(text.length));
  }
  return text;
}

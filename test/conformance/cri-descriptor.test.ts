// Kubernetes' container runtime interface as we have written it down, against the interface's own module, of which
// scripts/cri-descriptor.mjs has made a list; and that what we don't know of it is not lost on its way through kilnd.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  fromBinary,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  ContainerConfigSchema,
  file_runtime_v1_api,
  PodSandboxConfigSchema,
  RunPodSandboxRequestSchema,
} from "../../src/gen/runtime/v1/api_pb.js";
import { CHECKOUT } from "../fixtures/assets.js";

const LISTING = join(CHECKOUT, "test/conformance/cri-descriptor/upstream.txt");
const [UPSTREAM_MODULE, ...UPSTREAM] = readFileSync(LISTING, "utf8").trimEnd().split("\n");

describe("the container runtime interface", () => {
  it("is that of Kubernetes' module, call by call and field by field", () => {
    assert.match(UPSTREAM_MODULE ?? "", /^module k8s\.io\/cri-api v\d+\.\d+\.\d+ h1:\S{44}$/);
    assert.deepEqual(ourListing().toSorted(), UPSTREAM.toSorted());
  });

  it("has every call that there is: 37 about pods and containers, 6 about images", () => {
    const calls = UPSTREAM.filter((line) => line.startsWith("rpc "));
    assert.equal(calls.filter((line) => line.startsWith("rpc RuntimeService.")).length, 37);
    assert.equal(calls.filter((line) => line.startsWith("rpc ImageService.")).length, 6);
  });

  it("keeps fields of the future, wherever they are", () => {
    const linux = bytesOf((writer) =>
      writer.tag(1, WireType.LengthDelimited).string("/pods/a").tag(77, WireType.Varint).uint32(7),
    );
    const config = bytesOf((writer) =>
      writer
        .tag(2, WireType.LengthDelimited)
        .string("host")
        .tag(8, WireType.LengthDelimited)
        .bytes(linux)
        .tag(4_000, WireType.LengthDelimited)
        .string("of 2031")
        .tag(4_001, WireType.Bit64)
        .fixed64(3n),
    );
    const request = bytesOf((writer) =>
      writer.tag(1, WireType.LengthDelimited).bytes(config).tag(90, WireType.Bit32).fixed32(9),
    );
    const message = fromBinary(RunPodSandboxRequestSchema, request);
    assert.equal(message.config?.linux?.cgroupParent, "/pods/a");
    assert.deepEqual(toBinary(RunPodSandboxRequestSchema, message), request);
    // As pod.json keeps it: by itself, and read again later.
    const kept = toBinary(PodSandboxConfigSchema, message.config ?? create(PodSandboxConfigSchema));
    assert.deepEqual(kept, config);
    assert.deepEqual(toBinary(PodSandboxConfigSchema, fromBinary(PodSandboxConfigSchema, kept)), config);
  });

  it("keeps environment variables that are no text", () => {
    const value = new Uint8Array([0xff, 0x00, 0xc3, 0x28]);
    const config = create(ContainerConfigSchema, { envs: [{ key: "A", value }] });
    const read = fromBinary(ContainerConfigSchema, toBinary(ContainerConfigSchema, config));
    assert.deepEqual(read.envs[0]?.value, value);
  });
});

function bytesOf(write: (writer: BinaryWriter) => BinaryWriter): Uint8Array {
  return write(new BinaryWriter()).finish();
}

/** Our contract in the words of the list (test/conformance/cri-descriptor/main.go). */
function ourListing(): string[] {
  const { services, messages, enums } = file_runtime_v1_api;
  const calls = services.flatMap((service) =>
    service.methods.map(({ name, input, output, methodKind }) => {
      const asked = methodKind === "client_streaming" || methodKind === "bidi_streaming" ? "stream:" : "";
      const answered = methodKind === "server_streaming" || methodKind === "bidi_streaming" ? "stream:" : "";
      return `rpc ${service.name}.${name} ${asked}${shortName(input)} ${answered}${shortName(output)}`;
    }),
  );
  return [...calls, ...messages.flatMap(messageLines), ...enums.flatMap(enumLines)];
}

function messageLines(message: DescMessage): string[] {
  const name = shortName(message);
  const fields = message.fields.map(
    (field) => `field ${name}.${field.name} ${field.number} ${typeOf(field)}`,
  );
  const inside = [...message.nestedMessages.flatMap(messageLines), ...message.nestedEnums.flatMap(enumLines)];
  return [`message ${name}`, ...fields, ...inside];
}

function enumLines(desc: DescEnum): string[] {
  const name = shortName(desc);
  return [`enum ${name}`, ...desc.values.map((value) => `value ${name}.${value.name} ${value.number}`)];
}

/** With what it is nested in, without the package. */
function shortName({ typeName, file }: DescMessage | DescEnum): string {
  return typeName.slice(`${file.proto.package}.`.length);
}

function typeOf(field: DescField): string {
  const group = field.oneof === undefined ? "" : ` oneof:${field.oneof.name}`;
  switch (field.fieldKind) {
    case "map":
      return `map:${scalar(field.mapKey)}:${field.mapKind === "scalar" ? scalar(field.scalar) : "another"}`;
    case "list":
      return `repeated:${nameOf(field)}${group}`;
    default:
      return `${nameOf(field)}${group}`;
  }
}

function nameOf(field: DescField): string {
  if (field.message !== undefined) return shortName(field.message);
  if (field.enum !== undefined) return shortName(field.enum);
  return field.scalar === undefined ? "nothing" : scalar(field.scalar);
}

function scalar(type: ScalarType): string {
  return ScalarType[type].toLowerCase();
}

// The calls of kiln.v1 by name ("VmService/StartVm"), with the JSON types of their messages, all taken from the generated
// services: a call that is added to the protos can be made at once. Types only: nothing of it exists at run time.

import type { DescMessage, MessageJsonType } from "@bufbuild/protobuf";
import type { ImageService } from "../gen/kiln/v1/image_pb.js";
import type { KernelService } from "../gen/kiln/v1/kernel_pb.js";
import type { NetworkService } from "../gen/kiln/v1/network_pb.js";
import type { SystemService } from "../gen/kiln/v1/system_pb.js";
import type { VmService } from "../gen/kiln/v1/vm_pb.js";
import type { VolumeService } from "../gen/kiln/v1/volume_pb.js";

/** A new service is one line here. */
interface Services {
  VmService: typeof VmService.method;
  ImageService: typeof ImageService.method;
  KernelService: typeof KernelService.method;
  VolumeService: typeof VolumeService.method;
  NetworkService: typeof NetworkService.method;
  SystemService: typeof SystemService.method;
}

interface Method {
  readonly methodKind: string;
  readonly input: DescMessage;
  readonly output: DescMessage;
}

/** A service knows "startVm", the wire "VmService/StartVm". */
type Names = {
  [Service in keyof Services]: `${Service}/${Capitalize<keyof Services[Service] & string>}`;
}[keyof Services];

type MethodOf<Name> = Name extends `${infer Service extends keyof Services}/${infer Method}`
  ? Services[Service][Uncapitalize<Method> & keyof Services[Service]]
  : never;

interface Call<M> {
  request: M extends Method ? MessageJsonType<M["input"]> : never;
  response: M extends Method ? MessageJsonType<M["output"]> : never;
}

type IsUnary<Name> = MethodOf<Name> extends { methodKind: "unary" } ? true : false;

/** One request, one response. */
export type UnaryCalls = {
  [Name in Names as IsUnary<Name> extends true ? Name : never]: Call<MethodOf<Name>>;
};

/** Streams of requests, of responses, or of both. */
export type StreamCalls = {
  [Name in Names as IsUnary<Name> extends true ? never : Name]: Call<MethodOf<Name>>;
};

/** Name of a unary call. */
export type UnaryName = keyof UnaryCalls;
/** Name of a streaming call. */
export type StreamName = keyof StreamCalls;

// Both services of runtime.v1 as one Connect router.

import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import type { Engine } from "../engine/index.js";
import { ImageService, RuntimeService } from "../gen/runtime/v1/api_pb.js";
import { hintInterceptor } from "./errors.js";
import type { CriFacts } from "./facts.js";
import { createImageService } from "./image-service.js";
import { createRuntimeService } from "./runtime-service.js";

interface Cri {
  readonly routes: (router: ConnectRouter) => void;
  /** To stand inside of what makes statuses of errors, and waits until the engine has read its state. */
  readonly interceptors: Interceptor[];
}

/** The services of runtime.v1, and what has to be around each call of theirs. */
export function createCri(engine: Engine, facts: CriFacts): Cri {
  return {
    routes: (router) => {
      router.service(RuntimeService, createRuntimeService(facts));
      router.service(ImageService, createImageService(engine, facts));
    },
    interceptors: [hintInterceptor],
  };
}

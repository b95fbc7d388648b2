// All services of kiln.v1 as one Connect router.

import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import type { Logger } from "../base/log.js";
import type { Engine } from "../engine/index.js";
import { ImageService } from "../gen/kiln/v1/image_pb.js";
import { KernelService } from "../gen/kiln/v1/kernel_pb.js";
import { NetworkService } from "../gen/kiln/v1/network_pb.js";
import { SystemService } from "../gen/kiln/v1/system_pb.js";
import { VmService } from "../gen/kiln/v1/vm_pb.js";
import { VolumeService } from "../gen/kiln/v1/volume_pb.js";
import { createErrorInterceptor } from "./errors.js";
import { createImageService } from "./image-service.js";
import { createKernelService } from "./kernel-service.js";
import { createNetworkService } from "./network-service.js";
import { createSystemService, type DaemonFacts } from "./system-service.js";
import { createVmService } from "./vm-service.js";
import { createVolumeService } from "./volume-service.js";

/** What the services stand on. */
export interface ApiOptions {
  readonly engine: Engine;
  readonly facts: DaemonFacts;
  /** Resolves when the engine has read its state: calls wait for it. */
  readonly ready: () => Promise<void>;
  readonly log: Logger;
}

interface Api {
  readonly routes: (router: ConnectRouter) => void;
  readonly interceptors: Interceptor[];
}

/** The services of kiln.v1, and what has to be around each call of theirs. */
export function createApi({ engine, facts, ready, log }: ApiOptions): Api {
  return {
    routes: (router) => {
      router.service(VmService, createVmService(engine));
      router.service(ImageService, createImageService(engine));
      router.service(KernelService, createKernelService(engine));
      router.service(VolumeService, createVolumeService(engine));
      router.service(NetworkService, createNetworkService(engine));
      router.service(SystemService, createSystemService(engine, facts));
    },
    interceptors: [createErrorInterceptor(ready, log)],
  };
}

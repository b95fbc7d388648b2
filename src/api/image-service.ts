// kiln.v1.ImageService over the engine.

import type { ServiceImpl } from "@connectrpc/connect";
import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import { type Engine, parsePlatform, type RegistryCredentials } from "../engine/index.js";
import type { ImageService, PullImageRequest } from "../gen/kiln/v1/image_pb.js";
import { fromAuth, toImage, toProgress } from "./convert-image.js";
import { withProgress } from "./progress-stream.js";
import { bytesOf, noStart } from "./upload.js";

const MOST_BLOB_TEXT = 4 * 1024 ** 2;

export function createImageService(engine: Engine): ServiceImpl<typeof ImageService> {
  return {
    async *pullImage(request, { signal }) {
      const options = pullOptions(engine, request);
      const work = withProgress((onProgress) =>
        engine.images.pull(request.reference, { ...options, onProgress, signal }),
      );
      for await (const item of work) {
        if (item.kind === "result") {
          const { pulledAs, ...image } = item.value;
          yield { message: { case: "image", value: toImage(image) }, name: pulledAs };
        } else if (!request.quiet) yield { message: { case: "progress", value: toProgress(item.update) } };
      }
    },
    listImages({ filters }) {
      return { images: engine.images.list(filters).map(toImage) };
    },
    async getImage({ image }) {
      const found = engine.images.find(image);
      return {
        image: toImage(found),
        manifestJson: await engine.images.readText(found.manifestDigest, MOST_BLOB_TEXT),
        configJson: await engine.images.readText(found.id, MOST_BLOB_TEXT),
      };
    },
    async importImage(requests, { signal }) {
      const iterator = requests[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done === true || first.value.message.case !== "start") throw noStart("import");
      const { name, changes, platform } = first.value.message.value;
      const options = defined({ name, changes, signal, platform: platformIn(platform) });
      return { image: toImage(await engine.images.import(bytesOf(iterator), options)) };
    },
    async *saveImages({ images }, { signal }) {
      for await (const data of engine.images.save(images, signal)) yield { data };
    },
    async tagImage({ image, name }) {
      await engine.images.tag(image, name);
      return {};
    },
    removeImage: ({ image, force }) => engine.images.remove(image, force),
    async pruneImages({ all, filters }) {
      if (filters.length > 0) throw noFilters();
      const { deleted, bytes } = await engine.images.prune(all);
      const bases = await engine.images.collectBases();
      return { deleted, reclaimedBytes: BigInt(bytes + bases.bytes) };
    },
  };
}

function pullOptions(engine: Engine, request: PullImageRequest) {
  const credentials = new Map<string, RegistryCredentials>(
    Object.entries(request.auths).map(([host, auth]) => [host, fromAuth(auth)]),
  );
  if (request.auth !== undefined) {
    credentials.set(engine.images.registryOf(request.reference), fromAuth(request.auth));
  }
  return defined({
    plainHttp: request.plainHttp,
    credentials: credentials.size === 0 ? undefined : credentials,
    platform: platformIn(request.platform),
  });
}

/** undefined where the request leaves it to us. */
function platformIn(text: string) {
  return text === "" ? undefined : parsePlatform(text);
}

function noFilters(): KilnError {
  return new KilnError(Code.InvalidArgument, "pruning images takes no filters", { reason: "bad-filter" });
}

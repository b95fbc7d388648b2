// npm run kernel [-- --check] [--twice] [--no-cache] [--arch arm64] [--version 6.1.192] [--jobs 2]: kiln's own guest
// kernel for this checkout, built once for each configuration and kept below .build/kernel.

import { parseArgs } from "node:util";
import { ensureCompiled, ensureNodeModules } from "./lib/build.mjs";
import { buildTwice, checkConfiguration, ensureOwnKernel, openBuilder } from "./lib/own-kernel.mjs";
import { ensurePackages } from "./lib/packages.mjs";
import { main } from "./lib/run.mjs";

const OPTIONS = {
  arch: { type: "string" },
  check: { type: "boolean", default: false },
  jobs: { type: "string" },
  "no-cache": { type: "boolean", default: false },
  twice: { type: "boolean", default: false },
  version: { type: "string" },
};

await main(async () => {
  const { values } = parseArgs({ options: OPTIONS });
  const request = {
    architecture: values.arch,
    version: values.version,
    cache: !values["no-cache"],
    jobs: values.jobs === undefined ? undefined : Number(values.jobs),
  };
  await ensureNodeModules();
  await ensurePackages({ kernel: true });
  await ensureCompiled();
  const builder = await openBuilder();
  if (values.check) await checkConfiguration(builder, request);
  else if (values.twice) await buildTwice(builder, request);
  else await ensureOwnKernel(builder, request);
});

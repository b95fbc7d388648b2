// critest and crictl, Kubernetes' own judges of a runtime, built unmodified from their Go module: the version and the hashes
// of all that goes into them are those of test/critest/tools.

import { mkdirSync } from "node:fs";
import { PATHS, ROOT } from "./paths.mjs";
import { findProgram, run, SetupError } from "./run.mjs";
import { hashInputs, isFresh, removeStamp, writeStamp } from "./stamps.mjs";
import { step } from "./step.mjs";

const PLACE = "test/critest/tools";
const VERSION = "v1.37.0";
const MODULE = "sigs.k8s.io/cri-tools";
const LINK = `-s -w -X ${MODULE}/pkg/version.Version=${VERSION}`;

/** Builds them into .build/cri where they are not there. @throws SetupError where there is no Go */
export async function ensureCritest() {
  const hash = hashInputs(["scripts/lib/critest.mjs", `${PLACE}/go.mod`, `${PLACE}/go.sum`]);
  if (isFresh("critest", hash, [`${PATHS.cri}/critest`, `${PATHS.cri}/crictl`])) return;
  if (findProgram("go") === undefined) {
    throw new SetupError("critest is built from its Go module: install Go 1.26 or newer");
  }
  removeStamp("critest");
  mkdirSync(PATHS.cri, { recursive: true });
  await step("build critest and crictl (some minutes)", async () => {
    await go(["test", "-c"], "critest");
    await go(["build"], "crictl");
  });
  writeStamp("critest", hash);
}

function go(verb, name) {
  const words = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-p=2", "-ldflags", LINK];
  const env = { CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "" };
  const args = [...verb, ...words, "-o", `${PATHS.cri}/${name}`, `${MODULE}/cmd/${name}`];
  return run("go", args, { cwd: `${ROOT}/${PLACE}`, env });
}

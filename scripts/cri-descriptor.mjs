// node scripts/cri-descriptor.mjs [--check]: what the module k8s.io/cri-api says of the container runtime interface, into
// test/conformance/cri-descriptor/upstream.txt, which test/conformance/cri-descriptor holds proto/runtime to. Module and
// hash are those of the go.mod and go.sum beside it. --check only says whether the file is still that.

import { readFileSync, writeFileSync } from "node:fs";
import { ROOT } from "./lib/paths.mjs";
import { capture, findProgram, main, SetupError } from "./lib/run.mjs";

const PLACE = `${ROOT}/test/conformance/cri-descriptor`;
const LISTING = `${PLACE}/upstream.txt`;

await main(() => {
  if (findProgram("go") === undefined) throw new SetupError("this needs Go, and the Go module proxy");
  const env = { GOFLAGS: "-mod=readonly", GOTOOLCHAIN: "local", CGO_ENABLED: "0" };
  const { code, stdout, stderr } = capture("go", ["run", "."], { cwd: PLACE, env });
  if (code !== 0) throw new SetupError(`go run failed:\n${stderr}`);
  if (!process.argv.includes("--check")) writeFileSync(LISTING, stdout);
  else if (readFileSync(LISTING, "utf8") !== stdout) {
    throw new SetupError(`${LISTING} is not what the module says: run node scripts/cri-descriptor.mjs`);
  }
});

// Fails where the protos break buf's rules, or a program of a release that speaks them (proto/released).

import { ROOT } from "./lib/paths.mjs";
import { protoProblems } from "./lib/protos.mjs";
import { main, SetupError } from "./lib/run.mjs";

await main(() => {
  const problems = protoProblems(ROOT, `${ROOT}/proto/released`);
  if (problems.length > 0) throw new SetupError(problems.join("\n"));
});

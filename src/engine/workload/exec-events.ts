// What `kiln events` tells of programs beside the main one: each beginning and each end of a run, as Docker calls them.

import type { WorkloadEntry } from "./entry.js";

export type TellOfExec = (
  action: "exec_start" | "exec_die",
  attributes: Readonly<Record<string, string>>,
) => void;

/** Tells of all that it comes to from now on; what it came to before, another kilnd has told. */
export function tellOfRuns(entry: WorkloadEntry, tell: TellOfExec): void {
  let before = entry.state;
  const look = () => {
    entry.changed.watch(look);
    const [was, state] = [before, entry.state];
    before = state;
    const ran = was === "starting" || was === "running";
    const execID = entry.id;
    if (state === "running" && was !== "running") tell("exec_start", { execID });
    else if (ran && (state === "exited" || state === "restarting"))
      tell("exec_die", { execID, exitCode: String(entry.status.exitCode) });
  };
  entry.changed.watch(look);
}

// What ginkgo's JSON report says of a run of critest.

import * as v from "valibot";

const Spec = v.looseObject({
  ContainerHierarchyTexts: v.nullish(v.array(v.string())),
  LeafNodeType: v.string(),
  LeafNodeText: v.string(),
  State: v.string(),
  Failure: v.optional(v.looseObject({ Message: v.optional(v.string()) })),
});
const Report = v.array(v.looseObject({ SpecReports: v.array(Spec) }));

export interface SpecResult {
  /** Of its groups and its own, with blanks between. */
  readonly name: string;
  /** "passed", "failed", "timedout", "panicked"...; not "skipped". */
  readonly state: string;
  readonly why: string;
}

/** The specs that were run. */
export function resultsOf(json: string): SpecResult[] {
  const [suite] = v.parse(Report, JSON.parse(json));
  return (suite?.SpecReports ?? [])
    .filter(({ LeafNodeType, State }) => LeafNodeType === "It" && State !== "skipped" && State !== "pending")
    .map((spec) => ({
      name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(" "),
      state: spec.State,
      why: spec.Failure?.Message ?? "",
    }));
}

// Wrong usage: what was wrong, and where help is.

import { Code, hasReason, KilnError } from "../base/errors.js";

const REASON = "usage";

/** @param verb "image ls"; "" for kiln itself */
export function usageError(verb: string, message: string, suggestion?: string): KilnError {
  const help = `kiln ${verb === "" ? "" : `${verb} `}--help`;
  return new KilnError(Code.InvalidArgument, message, {
    reason: REASON,
    hint: suggestion === undefined ? `see \`${help}\`` : `${suggestion}; see \`${help}\``,
  });
}

/** True for an error of usageError(). */
export function isUsageError(error: unknown): boolean {
  return hasReason(error, REASON);
}

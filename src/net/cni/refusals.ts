// Why a VM can't be put on a CNI network, or is on it no more.

import { Code, KilnError } from "../../base/errors.js";
import type { CniKey } from "../types.js";

export function lost({ vmId }: CniKey): KilnError {
  const what = `what VM ${vmId.slice(0, 12)} had of its CNI network is gone`;
  return new KilnError(Code.FailedPrecondition, what, { reason: "cni-lost", hint: "restart the VM" });
}

/** Why it was not added, and what is left of that. */
export function withBoth(error: unknown, failure: unknown): KilnError {
  const { code, reason, hint, details, message } = KilnError.from(error);
  const rest = KilnError.from(failure).message;
  const what = `${message}; and what there was of it is still there: ${rest}`;
  return new KilnError(code, what, { reason, hint, details, cause: error });
}

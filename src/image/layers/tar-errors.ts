// The errors of the tar reader, and how names of unknown bytes are shown in them.

import { Code, KilnError } from "../../base/errors.js";

const SHOWN_CHARS = 200;

/**
 * A name as an error may show it: decoded as UTF-8, quoted, control characters escaped and cut off, because an
 * archive must not write escape sequences to the user's terminal.
 */
export function quoteName(name: string): string {
  const text = Buffer.from(name, "latin1").toString("utf8");
  const shown = text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text;
  // JSON leaves DEL and the C1 controls as they are.
  return JSON.stringify(shown).replace(
    /[\u007f-\u009f]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** An archive that can be read but says something that makes no sense: invalid_argument. */
export function badTar(offset: number, problem: string, reason = "bad-tar"): KilnError {
  return new KilnError(Code.InvalidArgument, `tar entry at byte ${offset}: ${problem}`, {
    reason,
    hint: "the archive was made wrongly: make it again, for example with GNU tar",
    details: { offset: String(offset) },
  });
}

/** Something that does not even begin like an archive: invalid_argument. */
export function notTar(): KilnError {
  return new KilnError(Code.InvalidArgument, "it is no tar archive", {
    reason: "bad-tar",
    hint: "check what the file really holds: it begins with no tar header",
  });
}

/** An archive whose bytes were damaged on the way: data_loss. */
export function corruptTar(offset: number, problem: string, reason = "tar-corrupt"): KilnError {
  return new KilnError(Code.DataLoss, `tar entry at byte ${offset}: ${problem}`, {
    reason,
    hint: "the archive is damaged: fetch or make it again",
    details: { offset: String(offset) },
  });
}

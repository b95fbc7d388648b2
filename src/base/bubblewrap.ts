// What bubblewrap says of itself (bwrap(1), --info-fd).

/** The pid of what it has started, in JSON that it writes in pieces: whole only with what comes behind the number. */
export const BWRAP_CHILD_PID = /"child-pid": *(\d+)\s*[,}]/;

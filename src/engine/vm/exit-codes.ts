// The exit codes of VMs whose program reported none.

/** What `kiln wait` and `kiln run` answer for a VM that never reported an exit: Docker's "the engine failed". */
export const FAILED_EXIT_CODE = 125;

/** 128 + SIGKILL. */
export const KILLED_EXIT_CODE = 137;

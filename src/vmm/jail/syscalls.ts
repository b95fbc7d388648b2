// System calls that no VMM has use for, by their numbers (asm/unistd_64.h of x86, asm-generic/unistd.h): each is a way
// to more of the kernel, to other processes or to other files. [x86_64, aarch64]; -1 where there is none.

type Numbers = readonly [x64: number, arm64: number];

/** Refused whatever their arguments. */
export const DENIED: Readonly<Record<string, Numbers>> = {
  // Mounts, roots and namespaces.
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  open_tree_attr: [467, 467],
  statmount: [457, 457],
  listmount: [458, 458],
  listns: [470, 470],
  unshare: [272, 97],
  setns: [308, 268],
  // Other processes.
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  process_madvise: [440, 440],
  process_mrelease: [448, 448],
  kcmp: [312, 272],
  pidfd_send_signal: [424, 424],
  pidfd_open: [434, 434],
  pidfd_getfd: [438, 438],
  move_pages: [279, 239],
  migrate_pages: [256, 238],
  // Large parts of the kernel.
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  keyctl: [250, 219],
  add_key: [248, 217],
  request_key: [249, 218],
  fanotify_init: [300, 262],
  fanotify_mark: [301, 263],
  memfd_secret: [447, 447],
  lsm_get_self_attr: [459, 459],
  lsm_set_self_attr: [460, 460],
  lsm_list_modules: [461, 461],
  mbind: [237, 235],
  set_mempolicy: [238, 237],
  set_mempolicy_home_node: [450, 450],
  modify_ldt: [154, -1],
  personality: [135, 92],
  lookup_dcookie: [212, 18],
  uselib: [134, -1],
  // Programs and names of files: a VMM starts none and makes none.
  execveat: [322, 281],
  link: [86, -1],
  linkat: [265, 37],
  symlink: [88, -1],
  symlinkat: [266, 36],
  mknod: [133, -1],
  mknodat: [259, 33],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  file_getattr: [468, 468],
  file_setattr: [469, 469],
  cachestat: [451, 451],
  // The machine.
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  acct: [163, 89],
  swapon: [167, 224],
  swapoff: [168, 225],
  reboot: [169, 142],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  syslog: [103, 116],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  adjtimex: [159, 171],
  clock_adjtime: [305, 266],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  vhangup: [153, 58],
  iopl: [172, -1],
  ioperm: [173, -1],
};

/** Judged by an argument. */
export const JUDGED = {
  clone: [56, 220],
  clone3: [435, 435],
  socket: [41, 198],
  socketpair: [53, 199],
  chmod: [90, -1],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchmodat2: [452, 452],
} as const satisfies Readonly<Record<string, Numbers>>;

/** Every call from here on has one number on all architectures (Linux 5.1). */
export const FIRST_COMMON = 424;
/** Of Linux 7.0. What comes after it nobody here has looked at: it is refused as a kernel does that has no such call. */
export const NEWEST = 471;
/** As many are unassigned below the common numbers, from here on. */
export const FIRST_UNASSIGNED: Readonly<Record<Architecture, number>> = { x64: 337, arm64: 295 };

/** Of the common numbers: looked at, and let through. Libraries, threads and a VMM's own files are made of them. */
export const LET_THROUGH = {
  close_range: 436,
  openat2: 437,
  faccessat2: 439,
  epoll_pwait2: 441,
  landlock_create_ruleset: 444,
  landlock_add_rule: 445,
  landlock_restrict_self: 446,
  futex_waitv: 449,
  map_shadow_stack: 453,
  futex_wake: 454,
  futex_wait: 455,
  futex_requeue: 456,
  mseal: 462,
  setxattrat: 463,
  getxattrat: 464,
  listxattrat: 465,
  removexattrat: 466,
  rseq_slice_yield: 471,
} as const satisfies Readonly<Record<string, number>>;

export type Architecture = "x64" | "arm64";

export function numberFor(numbers: Numbers, architecture: Architecture): number {
  return numbers[architecture === "x64" ? 0 : 1];
}

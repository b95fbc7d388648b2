//! The system calls that serving takes. All others fail, whoever makes them.

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long, sock_filter, sock_fprog,
};
use rustix::io::Errno;

use crate::arguments::Way;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Of struct seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// The low word of an argument.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;

/// With any arguments: on descriptors that are there, and on paths, of which Landlock and the jail leave one directory's.
#[rustfmt::skip]
const FREE: &[c_long] = &[
    // files
    libc::SYS_read, libc::SYS_write, libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_lseek, libc::SYS_close,
    libc::SYS_openat, libc::SYS_openat2, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_fstatfs,
    libc::SYS_getdents64, libc::SYS_readlinkat, libc::SYS_fcntl, libc::SYS_flock, libc::SYS_fsync, libc::SYS_fdatasync,
    libc::SYS_ftruncate, libc::SYS_fchmodat, libc::SYS_fchownat, libc::SYS_utimensat, libc::SYS_mkdirat,
    libc::SYS_mknodat, libc::SYS_symlinkat, libc::SYS_linkat, libc::SYS_renameat, libc::SYS_renameat2,
    libc::SYS_unlinkat, libc::SYS_getxattr, libc::SYS_setxattr, libc::SYS_listxattr, libc::SYS_removexattr,
    libc::SYS_dup,
    // its socket
    libc::SYS_recvfrom, libc::SYS_sendto, libc::SYS_recvmsg, libc::SYS_sendmsg, libc::SYS_ppoll, libc::SYS_eventfd2,
    // threads, memory, time
    libc::SYS_futex, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_brk, libc::SYS_madvise, libc::SYS_exit,
    libc::SYS_exit_group, libc::SYS_set_robust_list, libc::SYS_rseq, libc::SYS_gettid, libc::SYS_getpid,
    libc::SYS_tgkill, libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_sigaltstack, libc::SYS_restart_syscall,
    libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_clock_gettime, libc::SYS_getrandom,
    libc::SYS_getuid, libc::SYS_getgid,
    #[cfg(target_arch = "x86_64")] libc::SYS_poll,
    #[cfg(target_arch = "x86_64")] libc::SYS_chmod,
];

/// Those that give a file its mode, and which argument that is.
const MODES: &[(c_long, u32)] = &[
    (libc::SYS_openat, 3),
    (libc::SYS_fchmodat, 2),
    (libc::SYS_mkdirat, 2),
    (libc::SYS_mknodat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
];

type Filter = Vec<sock_filter>;

fn step(code: u32, k: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt: if_true,
        jf: if_false,
        k,
    }
}

fn load_word(at: u32) -> sock_filter {
    step(BPF_LD | BPF_W | BPF_ABS, at, 0, 0)
}

fn give(value: u32) -> sock_filter {
    step(BPF_RET | BPF_K, value, 0, 0)
}

fn refuse(errno: i32) -> sock_filter {
    give(ERRNO | errno as u32)
}

/// The next step where it is that call, behind `length` steps where not.
fn when(number: c_long, length: u8) -> sock_filter {
    step(BPF_JMP | BPF_JEQ | BPF_K, number as u32, 0, length)
}

/// Only where an argument is `value`.
fn where_is(number: c_long, index: u32, value: u32) -> Filter {
    let is = step(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    vec![
        when(number, 4),
        load_word(argument(index)),
        is,
        give(ALLOW),
        refuse(libc::EPERM),
    ]
}

/// Only where an argument has one of `bits` (`with`), or none of them.
fn where_bits(number: c_long, index: u32, bits: u32, with: bool) -> Filter {
    let has = step(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    let (first, second) = if with {
        (ALLOW, ERRNO | libc::EPERM as u32)
    } else {
        (ERRNO | libc::EPERM as u32, ALLOW)
    };
    vec![
        when(number, 4),
        load_word(argument(index)),
        has,
        give(first),
        give(second),
    ]
}

fn plan(way: &Way, notify: bool, own_root: bool) -> Filter {
    let right = step(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    let mut filter = vec![load_word(ARCH), right, give(KILL), load_word(NUMBER)];
    if own_root {
        // What it makes is the host's root's: whoever takes it over makes no program that runs as that.
        for &(number, index) in MODES {
            filter.extend(where_bits(number, index, libc::S_ISUID | libc::S_ISGID, false));
        }
        // Its mode lies in memory, where a filter cannot look.
        filter.extend([when(libc::SYS_openat2, 1), refuse(libc::ENOSYS)]);
    }
    for &number in FREE {
        filter.extend([when(number, 1), give(ALLOW)]);
    }
    // No code is made at run time, and no process.
    filter.extend(where_bits(libc::SYS_mmap, 2, libc::PROT_EXEC as u32, false));
    filter.extend(where_bits(libc::SYS_mprotect, 2, libc::PROT_EXEC as u32, false));
    filter.extend(where_bits(libc::SYS_clone, 0, libc::CLONE_THREAD as u32, true));
    // Its flags lie in memory, where a filter cannot look: the library takes clone then.
    filter.extend([when(libc::SYS_clone3, 1), refuse(libc::ENOSYS)]);
    filter.extend(where_is(libc::SYS_ioctl, 1, libc::FIONBIO as u32));
    match way {
        Way::Connect(_) => {
            filter.extend(where_is(libc::SYS_socket, 0, libc::AF_UNIX as u32));
            filter.extend([when(libc::SYS_connect, 1), give(ALLOW)]);
        }
        Way::Listen(_) => filter.extend([when(libc::SYS_accept4, 1), give(ALLOW)]),
    }
    if notify {
        for number in [
            libc::SYS_inotify_init1,
            libc::SYS_inotify_add_watch,
            libc::SYS_inotify_rm_watch,
        ] {
            filter.extend([when(number, 1), give(ALLOW)]);
        }
    }
    filter.push(refuse(libc::EPERM));
    filter
}

/// For this thread and all that it starts. It needs no_new_privs.
pub fn load(way: &Way, notify: bool, own_root: bool) -> Result<(), Errno> {
    let mut filter = plan(way, notify, own_root);
    let program = sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its steps outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program) };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_stays_within_the_filter() {
        for way in [Way::Connect(3), Way::Listen(3)] {
            let filter = plan(&way, true, true);
            for (at, step) in filter.iter().enumerate() {
                let jumps = u32::from(step.code) & 7 == BPF_JMP;
                let far = if jumps {
                    1 + usize::from(step.jt.max(step.jf))
                } else {
                    1
                };
                assert!(
                    at + far < filter.len() || u32::from(step.code) & 7 == BPF_RET,
                    "step {at}"
                );
            }
        }
    }

    /// What the kernel would do of a call.
    fn verdict(filter: &Filter, call: c_long, arguments: [u32; 6]) -> u32 {
        let mut word = 0;
        let mut at = 0;
        loop {
            let step = &filter[at];
            at += 1;
            match u32::from(step.code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    word = match step.k {
                        NUMBER => call as u32,
                        ARCH => ARCHITECTURE,
                        k => arguments[(k as usize - 16) / 8],
                    }
                }
                code if code == BPF_RET | BPF_K => return step.k,
                code => {
                    let holds = match code {
                        code if code == BPF_JMP | BPF_JEQ | BPF_K => word == step.k,
                        _ => word & step.k != 0,
                    };
                    at += usize::from(if holds { step.jt } else { step.jf });
                }
            }
        }
    }

    #[test]
    fn no_program_of_roots_is_made_by_any_call_that_gives_a_mode() {
        let filter = plan(&Way::Connect(3), false, true);
        for &(call, index) in MODES {
            for (mode, wanted) in [
                (0o755, ALLOW),
                (0o1777, ALLOW),
                (0o4755, ERRNO | libc::EPERM as u32),
                (0o2755, ERRNO | libc::EPERM as u32),
            ] {
                let mut arguments = [0; 6];
                arguments[index as usize] = mode;
                assert_eq!(verdict(&filter, call, arguments), wanted, "{call} {mode:o}");
            }
        }
        assert_eq!(
            verdict(&filter, libc::SYS_openat2, [0; 6]),
            ERRNO | libc::ENOSYS as u32
        );
        for call in [libc::SYS_fchmod, libc::SYS_fchmodat2, libc::SYS_execve] {
            assert_eq!(
                verdict(&filter, call, [0; 6]),
                ERRNO | libc::EPERM as u32,
                "{call}"
            );
        }
        let others = plan(&Way::Connect(3), false, false);
        assert_eq!(verdict(&others, libc::SYS_openat2, [0; 6]), ALLOW);
        assert_eq!(
            verdict(&others, libc::SYS_fchmodat, [0, 0, 0o2755, 0, 0, 0]),
            ALLOW
        );
    }

    #[test]
    fn a_listening_server_cannot_connect() {
        let names = |way: Way, number: c_long| {
            plan(&way, true, false)
                .iter()
                .any(|step| u32::from(step.code) & 7 == BPF_JMP && step.k == number as u32)
        };
        assert!(names(Way::Connect(3), libc::SYS_connect));
        assert!(!names(Way::Listen(3), libc::SYS_connect));
        assert!(!names(Way::Listen(3), libc::SYS_socket));
    }
}

//! The kernel's end: two pipes to its 9p client, and the mount itself.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::spec::Task;
use super::wire;

/// Room for two of the longest messages, so that neither side waits for the other.
const PIPE: usize = 1 << 20;

/// The kernel's two ends: what it reads answers from, and what it writes requests to.
pub struct Ends {
    answers: OwnedFd,
    requests: OwnedFd,
}

/// What the bridge has: where requests come from, and where answers go.
pub struct Pipes {
    pub requests: OwnedFd,
    pub answers: OwnedFd,
}

pub fn pipes() -> io::Result<(Pipes, Ends)> {
    let make = || {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // Smaller ones work as well.
        let _ = fcntl_setpipe_size(&writer, PIPE);
        Ok::<_, Errno>((reader, writer))
    };
    let ((requests, requests_in), (answers_out, answers)) = (make()?, make()?);
    // The bridge's ends alone: the kernel sets its own.
    rustix::io::ioctl_fionbio(&requests, true)?;
    rustix::io::ioctl_fionbio(&answers, true)?;
    let ends = Ends {
        answers: answers_out,
        requests: requests_in,
    };
    Ok((Pipes { requests, answers }, ends))
}

/// mount(2); returns once the server has answered, or the bridge's ends are closed.
pub fn mount(ends: &Ends, task: &Task) -> Result<(), Errno> {
    let mut flags = MountFlags::NODEV;
    // A touch needs a mount that may be written to. The server refuses all the same what it must.
    flags.set(MountFlags::RDONLY, task.spec.read_only && !task.spec.notify);
    let options = options(
        ends.answers.as_raw_fd(),
        ends.requests.as_raw_fd(),
        task.spec.real_ids,
    );
    let source = task.spec.way.to_string();
    rustix::mount::mount(source, &task.target, "9p", flags, options.as_c_str())
}

fn options(answers: i32, requests: i32, real_ids: bool) -> CString {
    // mmap: as fresh as no cache at all, and what is written through shared mappings works.
    let access = if real_ids { "client" } else { "any" };
    let text = format!(
        "trans=fd,rfdno={answers},wfdno={requests},version=9p2000.L,msize={},cache=mmap,access={access}",
        wire::MSIZE
    );
    CString::new(text).unwrap_or_default()
}

/// Why it was not mounted.
pub fn failure(errno: Errno) -> String {
    match errno {
        // The kernel has tried to load the module.
        Errno::NODEV => "the guest's kernel has no 9p: boot it with --kernel kiln".to_owned(),
        errno => format!("mount the share: {}", io::Error::from(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_what_the_bridge_speaks() {
        let text = options(7, 9, false);
        assert_eq!(
            text.to_str(),
            Ok("trans=fd,rfdno=7,wfdno=9,version=9p2000.L,msize=524288,cache=mmap,access=any")
        );
        assert!(
            options(7, 9, true)
                .to_str()
                .is_ok_and(|text| text.ends_with("access=client"))
        );
    }

    #[test]
    fn names_a_kernel_without_9p() {
        assert!(failure(Errno::NODEV).contains("--kernel kiln"));
        assert!(failure(Errno::CONNRESET).contains("reset"));
    }

    #[test]
    fn closing_the_bridges_ends_hangs_up_on_the_kernel() {
        let (pipes, ends) = pipes().unwrap();
        assert_eq!(rustix::io::write(&pipes.answers, b"x"), Ok(1));
        assert_eq!(
            rustix::io::read(&pipes.requests, &mut [0; 1][..]),
            Err(Errno::AGAIN)
        );
        drop(pipes);
        assert_eq!(rustix::io::read(&ends.answers, &mut [0; 2][..]), Ok(1));
        assert_eq!(rustix::io::read(&ends.answers, &mut [0; 2][..]), Ok(0));
    }
}

//! What is said of a mount that does not come.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::share::bridge::Bridge;
use crate::share::connection::{Connection, Way};
use crate::share::kernel;
use crate::share::pump::{Over, Pump};

/// The kernel's ends close as soon as the outcome is told, so that both are seen at once.
#[test]
fn tells_why_a_kernel_did_not_mount() {
    let now = Instant::now();
    let (pipes, ends) = kernel::pipes().expect("pipes");
    let make = || pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("a pipe");
    let ((outcome, tell), (signals, _quiet)) = (make(), make());
    let flags = SocketFlags::CLOEXEC;
    let (agent, _theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a pair");
    let connection = Connection::new(Way::Port("kiln.none".to_owned()), now);
    let others = [agent, signals, outcome];
    let mut pump = Pump::new(Bridge::new(None, now), connection, pipes, others, None).expect("a pump");
    let errno = Errno::NODEV.raw_os_error();
    rustix::io::write(&tell, &errno.to_ne_bytes()).expect("written");
    drop(ends);
    let over = pump.run(now + Duration::from_secs(60)).expect("an end");
    assert_eq!(over, Over::NotMounted(kernel::failure(Errno::NODEV)));
}

//! How long what may wait for the next request does. A timer that is set once for many of them: to set one for each, and to
//! take it back, would cost a guest as much as the wait that is spared.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// At most as long the host has open what the guest has closed.
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
const NEVER: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

pub struct Idle {
    /// Readable once it is over.
    pub fd: OwnedFd,
    is_set: bool,
}

impl Idle {
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { fd, is_set: false })
    }

    /// Unless it has begun.
    pub fn begin(&mut self) -> io::Result<()> {
        if !self.is_set {
            let time = Itimerspec {
                it_interval: NEVER,
                it_value: WAIT,
            };
            timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &time)?;
            self.is_set = true;
        }
        Ok(())
    }

    /// True once, when it is over.
    pub fn is_over(&mut self) -> bool {
        let mut count = [0; 8];
        let is_over = rustix::io::read(&self.fd, &mut count[..]) == Ok(count.len());
        self.is_set &= !is_over;
        is_over
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn is_over_once_and_begins_again() {
        let mut idle = Idle::new().unwrap();
        assert!(!idle.is_over(), "it has not begun");
        for _ in 0..2 {
            idle.begin().unwrap();
            idle.begin().unwrap();
            poll(&mut [PollFd::new(&idle.fd, PollFlags::IN)], None).unwrap();
            assert!(idle.is_over());
            assert!(!idle.is_over());
        }
    }
}

//! One thread that waits in the kernel and can be told to stop: by a signal that does nothing but interrupt.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::io::Errno;

#[derive(Default)]
pub struct Waiter {
    cancelled: AtomicBool,
    ended: AtomicBool,
    /// 0: it has not begun.
    thread: AtomicI32,
}

impl Waiter {
    /// On the waiting thread.
    pub fn run(&self, wait: impl FnOnce(&Self) -> Result<(), Errno>) -> Result<(), Errno> {
        self.thread
            .store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::SeqCst);
        let result = wait(self);
        self.ended.store(true, Ordering::SeqCst);
        result
    }

    /// Tries until it is done, fails, or nobody wants it any more.
    pub fn until(&self, mut attempt: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
        loop {
            if self.cancelled.load(Ordering::SeqCst) {
                return Err(Errno::INTR);
            }
            match attempt() {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Has to come again until it has ended: a signal before the wait is lost.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let thread = self.thread.load(Ordering::SeqCst);
        if thread != 0 && !self.has_ended() {
            // SAFETY: passes numbers. A thread that has ended since is none of this process's, or another waiter, which
            // tries again.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR1) };
        }
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

extern "C" fn nothing(_signal: libc::c_int) {}

/// Without SA_RESTART: the wait ends with EINTR.
pub fn take_signal() {
    // SAFETY: zeros are a valid sigaction, and the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_wait_in_the_kernel_ends_when_told() {
        take_signal();
        let waiter = Arc::new(Waiter::default());
        let (read, _write) = rustix::pipe::pipe().expect("a pipe can be made");
        let other = waiter.clone();
        let wait = move |waiter: &Waiter| waiter.until(|| rustix::io::read(&read, &mut [0; 1]).map(drop));
        let thread = std::thread::spawn(move || other.run(wait));
        while !waiter.has_ended() {
            waiter.cancel();
            std::thread::yield_now();
        }
        assert_eq!(thread.join().expect("it ends"), Err(Errno::INTR));
    }
}

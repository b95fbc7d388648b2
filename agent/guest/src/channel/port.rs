//! The virtio-serial port: one descriptor, many sessions.
//!
//! What the driver does (measured under QEMU): a read gives at most one page and is 0 while no host is connected; poll
//! says POLLHUP then, and POLLHUP cannot be masked. A runtime that takes a hang-up for final would spin on it, so the
//! port sits in an epoll set of its own, edge-triggered, and the runtime watches that set.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::guard::{FrameGuard, Verdict};
use crate::process::io::watch;

/// A host finishes a frame at once: the rest of one is on its way. After this long, a hello in mid-frame is a hello.
const SUSPECT_FOR: Duration = Duration::from_millis(250);
/// Guest buffers are pages: one read never gives more, so one read never spans two hosts.
const PAGE: usize = 4096;
/// What one wake-up drains before it hands on.
const DRAIN: usize = 16;

pub struct Port {
    fd: OwnedFd,
    events: AsyncFd<OwnedFd>,
    /// The hello that ended the last session.
    returned: Bytes,
}

impl Port {
    /// Opens the port; it can be open once only, so this is for the life of the agent.
    pub fn open(path: &str) -> io::Result<Self> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&set, &fd, epoll::EventData::new_u64(0), interest)?;
        Ok(Self {
            fd,
            events: watch(set)?,
            returned: Bytes::new(),
        })
    }

    /// A session's view: raw at first (hellos), guarded once HTTP/2 has begun.
    pub fn session(&mut self) -> PortSession<'_> {
        PortSession {
            port: self,
            guard: None,
            ready: Bytes::new(),
            deadline: None,
        }
    }

    /// Waits until something about the port has changed since the last wait.
    fn poll_change(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.events.poll_read_ready(cx))?;
        let mut seen = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }];
        while epoll::wait(self.events.get_ref(), &mut seen[..], Some(&Timespec::default()))? > 0 {}
        guard.clear_ready();
        Poll::Ready(Ok(()))
    }

    fn host_is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::empty())];
        rustix::event::poll(&mut fds, Some(&Timespec::default())).is_ok()
            && fds[0].revents().contains(PollFlags::HUP)
    }

    /// Waits for a host. Returns at once where one is connected.
    pub async fn connected(&self) -> io::Result<()> {
        while self.host_is_gone() {
            std::future::poll_fn(|cx| self.poll_change(cx)).await?;
        }
        Ok(())
    }
}

pub struct PortSession<'port> {
    port: &'port mut Port,
    guard: Option<FrameGuard>,
    ready: Bytes,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl PortSession<'_> {
    /// From here on the stream is HTTP/2. `start` is what was read of it.
    pub fn begin_frames(&mut self, start: &[u8]) {
        let mut guard = FrameGuard::new();
        if let Verdict::Pass(bytes) = guard.push(start) {
            self.ready = bytes;
        }
        self.guard = Some(guard);
    }

    fn end_with(&mut self, hello: Bytes) -> Poll<io::Result<()>> {
        self.port.returned = hello;
        Poll::Ready(Ok(()))
    }

    fn poll_suspect(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(deadline) = &mut self.deadline else {
            return Poll::Ready(None);
        };
        ready!(deadline.as_mut().poll(cx));
        self.deadline = None;
        Poll::Ready(self.guard.as_mut().and_then(FrameGuard::give_up))
    }
}

impl AsyncRead for PortSession<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.guard.is_none() && this.port.returned.has_remaining() {
            let returned = std::mem::take(&mut this.port.returned);
            this.ready = [std::mem::take(&mut this.ready), returned].concat().into();
        }
        let mut page = [0; PAGE];
        let mut drained = 0;
        loop {
            if this.ready.has_remaining() {
                let count = this.ready.len().min(buffer.remaining());
                buffer.put_slice(&this.ready.split_to(count));
                drained += 1;
                if buffer.remaining() == 0 || drained == DRAIN {
                    return Poll::Ready(Ok(()));
                }
                if this.ready.has_remaining() {
                    continue;
                }
            }
            match rustix::io::read(&this.port.fd, &mut page[..]) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(count) => {
                    this.deadline = None;
                    match &mut this.guard {
                        None => this.ready = Bytes::copy_from_slice(&page[..count]),
                        Some(guard) => match guard.push(&page[..count]) {
                            Verdict::Pass(bytes) => this.ready = bytes,
                            Verdict::Suspect => this.deadline = Some(Box::pin(sleep(SUSPECT_FOR))),
                            Verdict::Reset(hello) => return this.end_with(hello),
                        },
                    }
                }
                Err(Errno::AGAIN) => {
                    if !buffer.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    if let Poll::Ready(Some(hello)) = this.poll_suspect(cx) {
                        return this.end_with(hello);
                    }
                    ready!(this.port.poll_change(cx))?;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncWrite for PortSession<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match rustix::io::write(&self.port.fd, bytes) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(Errno::AGAIN) => {
                    if self.port.host_is_gone() {
                        return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                    }
                    ready!(self.port.poll_change(cx))?;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The port stays open for the next host.
        Poll::Ready(Ok(()))
    }
}

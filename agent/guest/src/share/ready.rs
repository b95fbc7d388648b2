//! Which descriptors may give or take something: since its last event, one has not refused.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::connection::{CHANGES, Connection};

pub const SERVER: u64 = 0;
pub const REQUESTS: u64 = 1;
pub const ANSWERS: u64 = 2;
pub const AGENT: u64 = 3;
pub const SIGNALS: u64 = 4;
pub const OUTCOME: u64 = 5;
pub const TOUCHER: u64 = 6;
pub const IDLE: u64 = 7;
const SOURCES: usize = 8;

pub struct Ready {
    pub set: OwnedFd,
    can_read: [bool; SOURCES],
    can_write: [bool; SOURCES],
    /// How the server is watched.
    watched: epoll::EventFlags,
}

impl Ready {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            set: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            can_read: [true; SOURCES],
            can_write: [true; SOURCES],
            watched: CHANGES,
        })
    }

    pub fn add(&self, fd: &OwnedFd, source: u64) -> io::Result<()> {
        Ok(epoll::add(
            &self.set,
            fd,
            epoll::EventData::new_u64(source),
            CHANGES,
        )?)
    }

    pub const fn can_read(&self, source: u64) -> bool {
        self.can_read[source as usize]
    }

    pub const fn can_write(&self, source: u64) -> bool {
        self.can_write[source as usize]
    }

    pub const fn set_can_read(&mut self, source: u64, can: bool) {
        self.can_read[source as usize] = can;
    }

    pub const fn set_can_write(&mut self, source: u64, can: bool) {
        self.can_write[source as usize] = can;
    }

    /// From now on, as long as a server is there, `wait` tells of what can be read until it was read, and of room only
    /// where some was missed: so no read has to find out that there is no more, and no event follows each write.
    ///
    /// Without a server a port is hung up all the time, which must be told once.
    pub fn watch_server(&mut self, connection: &Connection, is_read: bool) -> io::Result<()> {
        let mut wanted = CHANGES;
        if is_read {
            wanted = epoll::EventFlags::IN;
            wanted.set(epoll::EventFlags::OUT, !self.can_write(SERVER));
        }
        if wanted != self.watched {
            connection.watch(&self.set, epoll::EventData::new_u64(SERVER), wanted)?;
            self.watched = wanted;
        }
        Ok(())
    }

    /// True where what is left unread is told again.
    pub fn tells_again(&self) -> bool {
        self.watched != CHANGES
    }

    /// Sleeps until one of them has an event.
    pub fn wait(&mut self, time: Option<Duration>) -> io::Result<()> {
        let time = time.map(|time| {
            let milliseconds = time.as_millis() + 1;
            Timespec {
                tv_sec: (milliseconds / 1000) as i64,
                tv_nsec: (milliseconds % 1000) as i64 * 1_000_000,
            }
        });
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; SOURCES];
        let count = match epoll::wait(&self.set, &mut events[..], time.as_ref()) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &events[..count] {
            let (data, flags) = (event.data, event.flags);
            let source = data.u64();
            let hung_up = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
            // A port tells of a server that comes by any event, and of its silence by a read alone.
            let is_changed = source == SERVER && !self.tells_again();
            if hung_up || is_changed || flags.contains(epoll::EventFlags::IN) {
                self.set_can_read(source, true);
            }
            if hung_up || flags.contains(epoll::EventFlags::OUT) {
                self.set_can_write(source, true);
            }
        }
        Ok(())
    }
}

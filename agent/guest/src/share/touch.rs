//! Makes an event of inotify, in the guest, of what the host has changed: gives the file the time of its last change that it
//! has already. On a thread, because that is a request to the server, by way of this process.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::notices::{Mtime, Notices};
use crate::mount::mountinfo::{self, Mount};

/// Word of the thread: nothing is expected any more. Else it is a time, which the bridge is to expect and say so.
const DONE: &[u8] = b"d";
const EXPECTED: &[u8] = b"e";
/// seconds[8] nanoseconds[4]
const TIME: usize = 12;

/// The bridge's side of the thread: one name after the other.
pub struct Toucher {
    pub fd: OwnedFd,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Idle,
    Busy,
    Ended,
}

impl Toucher {
    /// @param source of the share's mount, as mountinfo has it
    pub fn start(source: String) -> io::Result<Self> {
        let (own, theirs) = pair()?;
        std::thread::Builder::new().spawn(move || serve(&theirs, &source))?;
        Ok(own)
    }

    /// Does what can be done now. `can_read`: the thread may have said something; false once it has not.
    pub fn go_on(&mut self, notices: &mut Notices, is_away: bool, can_read: &mut bool) {
        loop {
            match self.state {
                State::Idle if is_away => return,
                State::Idle => {
                    let Some(path) = notices.next() else { return };
                    self.say(&path);
                    self.state = State::Busy;
                }
                State::Busy if *can_read => self.hear(notices, can_read),
                State::Busy | State::Ended => return,
            }
        }
    }

    fn hear(&mut self, notices: &mut Notices, can_read: &mut bool) {
        let mut word = [0; TIME];
        match rustix::io::read(&self.fd, &mut word[..]) {
            Ok(TIME) => {
                notices.expect(Mtime {
                    seconds: i64::from_le_bytes(*word.first_chunk().unwrap_or(&[0; 8])),
                    nanoseconds: u32::from_le_bytes(*word.last_chunk().unwrap_or(&[0; 4])),
                });
                self.say(EXPECTED);
            }
            Err(Errno::AGAIN) => *can_read = false,
            Err(Errno::INTR) => {}
            Ok(count) => {
                notices.expect_none();
                self.state = if count == 0 { State::Ended } else { State::Idle };
            }
            Err(_) => self.state = State::Ended,
        }
    }

    /// The thread reads each before the next is said: it fits.
    fn say(&self, word: &[u8]) {
        let _ = rustix::io::write(&self.fd, word);
    }
}

fn pair() -> io::Result<(Toucher, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (fd, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    let state = State::Idle;
    Ok((Toucher { fd, state }, theirs))
}

/// The thread, until the bridge ends.
fn serve(bridge: &OwnedFd, source: &str) {
    let mut path = [0; 4096];
    while let Ok(count @ 1..) = rustix::io::read(bridge, &mut path[..]) {
        let path = Path::new(std::ffi::OsStr::from_bytes(&path[..count]));
        // What has gone, or is not mounted here, is not told.
        let _ = find(source, path).and_then(|file| touch(&file, bridge));
        if rustix::io::write(bridge, DONE).is_err() {
            return;
        }
    }
}

/// The file, by a mount of its own: one that is unmounted meanwhile is not in use.
fn find(source: &str, path: &Path) -> io::Result<OwnedFd> {
    let path = Path::new("/").join(path);
    let mounts = mountinfo::read()?;
    let ours = |mount: &&Mount| mount.kind == "9p" && mount.source == source;
    for mount in mounts.iter().filter(ours) {
        let Ok(rest) = path.strip_prefix(&mount.root) else {
            continue;
        };
        if let Ok(root) = clone_of(mount) {
            return open_or_above(root, rest);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Fails where something else is mounted over it.
fn clone_of(mount: &Mount) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let place = rustix::fs::openat2(CWD, &mount.place, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let device = rustix::fs::fstat(&place)?.st_dev;
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    if device != mount.device {
        return Err(io::ErrorKind::NotFound.into());
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(&place, "", flags | OpenTreeFlags::AT_EMPTY_PATH)?)
}

/// What has gone has changed the directory that it was in.
fn open_or_above(root: OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    match (open(&root, path), path.parent()) {
        (Err(Errno::NOENT), Some(above)) if above.as_os_str().is_empty() => Ok(root),
        (Err(Errno::NOENT), Some(above)) => Ok(open(&root, above)?),
        (Err(Errno::NOENT), None) => Ok(root),
        (found, _) => Ok(found?),
    }
}

fn open(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(root, path, flags, Mode::empty(), within)
}

/// The one time alone: programs that wait for changes of content (IN_MODIFY) hear of it, as do those that wait for any.
fn touch(file: &OwnedFd, bridge: &OwnedFd) -> io::Result<()> {
    let stat = rustix::fs::fstat(file)?;
    let (seconds, nanoseconds) = (stat.st_mtime, stat.st_mtime_nsec as u32);
    let time = [&seconds.to_le_bytes()[..], &nanoseconds.to_le_bytes()].concat();
    rustix::io::write(bridge, &time)?;
    rustix::io::read(bridge, &mut [0; 1][..])?;
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(0, UTIME_OMIT),
        last_modification: time(seconds, nanoseconds.into()),
    };
    Ok(rustix::fs::utimensat(file, "", &times, AtFlags::EMPTY_PATH)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::mem::MaybeUninit;
    use std::path::PathBuf;

    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

    use super::*;
    use crate::share::wire::{self, Message};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kiln-touch-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn root(&self) -> OwnedFd {
            fs::File::open(&self.0).unwrap().into()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn waiting(paths: &[&[u8]]) -> Notices {
        let mut notices = Notices::default();
        notices.want();
        for path in paths {
            notices.take(&Message::new(wire::NOTICE, wire::NO_TAG).string(path).done());
        }
        notices
    }

    fn heard(fd: &OwnedFd) -> Vec<u8> {
        let mut word = [0; 64];
        let count = rustix::io::read(fd, &mut word[..]).unwrap();
        word[..count].to_vec()
    }

    #[test]
    fn one_name_after_the_other_and_none_while_no_server_is_there() {
        let (mut toucher, thread) = pair().unwrap();
        let mut notices = waiting(&[b"a", b"b"]);
        let mut can_read = true;
        toucher.go_on(&mut notices, true, &mut can_read);
        toucher.go_on(&mut notices, false, &mut can_read);
        assert_eq!((heard(&thread), can_read), (b"a".to_vec(), false));
        can_read = true;
        rustix::io::write(
            &thread,
            &[&7_i64.to_le_bytes()[..], &9_u32.to_le_bytes()].concat(),
        )
        .unwrap();
        toucher.go_on(&mut notices, false, &mut can_read);
        assert_eq!(heard(&thread), EXPECTED);
        let set = |seconds| {
            let message = Message::new(wire::TSETATTR, 1)
                .u32(7)
                .u32(0x160)
                .u32(0)
                .u32(0)
                .u32(0);
            message.u64(0).u64(0).u64(0).u64(seconds).u64(9).done()
        };
        assert!(notices.is_own(&set(7)) && !notices.is_own(&set(8)));
        can_read = true;
        rustix::io::write(&thread, DONE).unwrap();
        toucher.go_on(&mut notices, false, &mut can_read);
        assert!(!notices.is_own(&set(7)));
        assert_eq!(heard(&thread), b"b");
        drop(thread);
        can_read = true;
        toucher.go_on(&mut notices, false, &mut can_read);
        assert!(toucher.state == State::Ended);
    }

    #[test]
    fn a_touch_is_heard_as_a_change_and_changes_nothing() {
        let scratch = Scratch::new("heard");
        let file = scratch.0.join("file");
        fs::write(&file, "x").unwrap();
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        let found = open_or_above(scratch.root(), Path::new("file")).unwrap();
        let watch = init(CreateFlags::NONBLOCK).unwrap();
        add_watch(&watch, &scratch.0, WatchFlags::ALL_EVENTS).unwrap();
        let (bridge, thread) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::empty(),
            None,
        )
        .unwrap();
        rustix::io::write(&bridge, EXPECTED).unwrap();
        touch(&found, &thread).unwrap();
        let told = heard(&bridge);
        let seconds = before.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!((told.len(), &told[..8]), (TIME, &seconds.to_le_bytes()[..]));
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut reader = Reader::new(&watch, &mut buffer);
        let event = reader.next().unwrap();
        assert_eq!(event.events(), ReadFlags::MODIFY);
        assert_eq!(event.file_name(), Some(c"file"));
        assert_eq!(reader.next().err(), Some(Errno::AGAIN));
    }

    #[test]
    fn what_has_gone_is_its_directory_and_no_link_leads_out() {
        let scratch = Scratch::new("gone");
        fs::create_dir(scratch.0.join("dir")).unwrap();
        std::os::unix::fs::symlink("/", scratch.0.join("out")).unwrap();
        let inode = |path: &str| {
            let found = open_or_above(scratch.root(), Path::new(path));
            found.map(|file| rustix::fs::fstat(file).unwrap().st_ino)
        };
        let of = |path: &str| {
            let stat = rustix::fs::lstat(scratch.0.join(path)).unwrap();
            stat.st_ino
        };
        assert_eq!(inode("dir/gone").unwrap(), of("dir"));
        assert_eq!(inode("gone").unwrap(), of(""));
        assert_eq!(inode("").unwrap(), of(""));
        assert!(inode("out").is_ok_and(|found| found == of("out")));
        assert!(inode("out/etc").is_err());
        assert!(inode("../etc").is_err());
        assert!(inode("gone/deeper").is_err());
    }

    #[test]
    fn a_share_that_is_not_mounted_is_not_found() {
        assert!(find("kiln.port.none", Path::new("a")).is_err());
    }
}

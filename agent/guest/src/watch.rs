//! What happens below a path, from inotify(7): one watch on a file or a directory, or one on every directory of a tree.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::proto::{FileEvent, FileEventKind as Kind};

/// Directories of one tree: each is a piece of the guest's kernel memory that cannot be swapped.
const MOST_DIRECTORIES: usize = 8192;
/// Events in one message.
const BATCH: usize = 256;
/// The two halves of a rename lie side by side in the kernel's queue; a reader can only come in between them.
const OTHER_HALF: Duration = Duration::from_millis(20);

pub struct Watcher {
    inotify: OwnedFd,
    root: PathBuf,
    recursive: bool,
    /// By watch descriptor.
    paths: HashMap<i32, PathBuf>,
    root_watch: i32,
    /// A rename whose second half has not come yet.
    half: Option<Half>,
    events: Vec<FileEvent>,
    over: bool,
}

struct Half {
    cookie: u32,
    path: PathBuf,
    directory: bool,
}

/// What an event says, out of the reader's buffer.
struct Heard {
    watch: i32,
    flags: ReadFlags,
    cookie: u32,
    name: Option<Vec<u8>>,
}

fn what_to_watch() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE
        | WatchFlags::MOVE_SELF
}

impl Watcher {
    /// From its return on nothing is missed.
    pub fn open(path: &Path, recursive: bool) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let root_watch = inotify::add_watch(&inotify, path, what_to_watch())?;
        let mut watcher = Self {
            inotify,
            root: path.to_path_buf(),
            recursive: recursive && path.is_dir(),
            paths: HashMap::from([(root_watch, path.to_path_buf())]),
            root_watch,
            half: None,
            events: Vec::new(),
            over: false,
        };
        if watcher.recursive {
            watcher.enter_all(path, false)?;
        }
        Ok(watcher)
    }

    /// Reads until the path is gone, `leave` is closed at its other end, or `tell` takes no more.
    pub fn run(&mut self, leave: &OwnedFd, mut tell: impl FnMut(Vec<FileEvent>) -> bool) -> io::Result<()> {
        while !self.over {
            let patience = self.half.is_some().then_some(OTHER_HALF);
            if !self.wait(leave, patience)? {
                return Ok(());
            }
            let heard = self.read()?;
            if heard.is_empty() {
                self.give_up_half();
            }
            for one in heard {
                self.hear(&one);
            }
            while !self.events.is_empty() {
                let rest = self.events.split_off(self.events.len().min(BATCH));
                if !tell(std::mem::replace(&mut self.events, rest)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// False where nobody wants to hear any more.
    fn wait(&self, leave: &OwnedFd, patience: Option<Duration>) -> io::Result<bool> {
        let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let mut files = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::new(leave, PollFlags::empty()),
        ];
        loop {
            match poll(&mut files, timeout.as_ref()) {
                Ok(_) => return Ok(files[1].revents().is_empty()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read(&self) -> io::Result<Vec<Heard>> {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        let mut heard = Vec::new();
        while heard.len() < BATCH {
            match reader.next() {
                Ok(event) => heard.push(Heard {
                    watch: event.wd(),
                    flags: event.events(),
                    cookie: event.cookie(),
                    name: event.file_name().map(|name| name.to_bytes().to_vec()),
                }),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // What the buffer still holds is lost with the reader: it is read to its end.
        while !reader.is_buffer_empty() {
            let event = reader.next()?;
            heard.push(Heard {
                watch: event.wd(),
                flags: event.events(),
                cookie: event.cookie(),
                name: event.file_name().map(|name| name.to_bytes().to_vec()),
            });
        }
        Ok(heard)
    }

    fn hear(&mut self, heard: &Heard) {
        let flags = heard.flags;
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.overflow();
        }
        let Some(directory) = self.paths.get(&heard.watch) else {
            return; // of a directory that has been left
        };
        let path = match &heard.name {
            Some(name) => directory.join(OsStr::from_bytes(name)),
            None => directory.clone(),
        };
        let is_directory = flags.contains(ReadFlags::ISDIR);
        if !flags.contains(ReadFlags::MOVED_TO) {
            self.give_up_half();
        }
        if flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT) {
            if heard.watch == self.root_watch {
                self.over = true;
                self.push(Kind::Removed, &path, is_directory);
            }
        } else if flags.contains(ReadFlags::IGNORED) {
            self.paths.remove(&heard.watch);
        } else if flags.contains(ReadFlags::CREATE) {
            self.push(Kind::Created, &path, is_directory);
            self.enter(&path, is_directory, true);
        } else if flags.contains(ReadFlags::MOVED_FROM) {
            self.half = Some(Half {
                cookie: heard.cookie,
                path,
                directory: is_directory,
            });
        } else if flags.contains(ReadFlags::MOVED_TO) {
            self.moved_to(path, heard.cookie, is_directory);
        } else if flags.contains(ReadFlags::DELETE) {
            self.push(Kind::Removed, &path, is_directory);
        } else if flags.contains(ReadFlags::MODIFY) {
            self.push(Kind::Modified, &path, is_directory);
        } else if flags.contains(ReadFlags::ATTRIB)
            && (heard.name.is_some() || heard.watch == self.root_watch)
        {
            // A directory's own is told by its parent.
            self.push(Kind::Attributes, &path, is_directory);
        }
    }

    fn moved_to(&mut self, path: PathBuf, cookie: u32, directory: bool) {
        match self.half.take() {
            Some(half) if half.cookie == cookie => {
                for known in self.paths.values_mut() {
                    if let Ok(rest) = known.strip_prefix(&half.path) {
                        *known = if rest.as_os_str().is_empty() {
                            path.clone()
                        } else {
                            path.join(rest)
                        };
                    }
                }
                self.events.push(FileEvent {
                    kind: Kind::Renamed as i32,
                    path: bytes(&half.path),
                    to: bytes(&path),
                    directory,
                });
            }
            other => {
                self.half = other;
                self.give_up_half();
                self.push(Kind::Created, &path, directory);
                self.enter(&path, directory, true);
            }
        }
    }

    /// What was moved away and came nowhere that is watched is gone, with all that lies below it.
    fn give_up_half(&mut self) {
        let Some(half) = self.half.take() else { return };
        let left: Vec<i32> = self
            .paths
            .iter()
            .filter(|(_, path)| path.starts_with(&half.path))
            .map(|(watch, _)| *watch)
            .collect();
        for watch in left {
            self.paths.remove(&watch);
            // It may be gone by itself.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
        self.push(Kind::Removed, &half.path, half.directory);
    }

    fn enter(&mut self, path: &Path, directory: bool, tell: bool) {
        // It may be gone again, or hold more than can be watched: then what is told is not all.
        if self.recursive
            && directory
            && self
                .watch_directory(path)
                .and_then(|()| self.enter_all(path, tell))
                .is_err()
        {
            self.overflow();
        }
    }

    /// Watches all directories below one that is watched. `tell`: what is in them may have come before the watch.
    fn enter_all(&mut self, top: &Path, tell: bool) -> io::Result<()> {
        let mut pending = vec![top.to_path_buf()];
        while let Some(directory) = pending.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                let path = entry.path();
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if tell {
                    self.push(Kind::Created, &path, is_directory);
                }
                if is_directory {
                    self.watch_directory(&path)?;
                    pending.push(path);
                }
            }
        }
        Ok(())
    }

    fn watch_directory(&mut self, path: &Path) -> io::Result<()> {
        if self.paths.len() >= MOST_DIRECTORIES {
            let text = format!("more than {MOST_DIRECTORIES} directories are below it");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        let flags = what_to_watch() | WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(&self.inotify, path, flags) {
            Ok(watch) => {
                self.paths.insert(watch, path.to_path_buf());
                Ok(())
            }
            // Gone again, or another thing by now: its parent's events say so.
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn overflow(&mut self) {
        let root = self.root.clone();
        self.push(Kind::Overflow, &root, false);
    }

    /// The same thing twice in a row is told once: a program that writes makes thousands of it.
    fn push(&mut self, kind: Kind, path: &Path, directory: bool) {
        let event = FileEvent {
            kind: kind as i32,
            path: bytes(path),
            to: bytes::Bytes::new(),
            directory,
        };
        if self.events.last() != Some(&event) {
            self.events.push(event);
        }
    }
}

fn bytes(path: &Path) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(path.as_os_str().as_bytes())
}

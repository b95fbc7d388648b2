//! Changes by the host in directories that the guest has come to, for programs of the guest that wait for them (inotify).
//! Only a hint: what is told late, twice or not at all costs such a program a look, and nothing else. What the guest
//! itself does is not told: it would answer itself.

use std::collections::{HashMap, VecDeque};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;

use crate::node::{Inode, Node};

/// The oldest gives way.
pub const MAX_WATCHES: usize = 1024;
/// Changes that wait to be told.
const MAX_CHANGES: usize = 1024;

/// Something happened to this name.
#[derive(Clone)]
pub struct Change {
    pub dir: Arc<Node>,
    pub name: Vec<u8>,
}

pub struct Watches {
    /// Readable when something has changed.
    pub fd: Arc<OwnedFd>,
    watched: HashMap<i32, Arc<Node>>,
    numbers: HashMap<Inode, i32>,
    oldest: VecDeque<i32>,
    changes: VecDeque<Change>,
}

impl Watches {
    pub fn new() -> Result<Self, Errno> {
        let fd = Arc::new(init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?);
        let (watched, numbers) = (HashMap::new(), HashMap::new());
        Ok(Self {
            fd,
            watched,
            numbers,
            oldest: VecDeque::new(),
            changes: VecDeque::new(),
        })
    }

    /// Where it cannot be watched, nothing is told.
    pub fn add(&mut self, node: &Arc<Node>) {
        if !node.is_directory() || self.numbers.contains_key(&node.inode) {
            return;
        }
        if self.oldest.len() >= MAX_WATCHES
            && let Some(number) = self.oldest.pop_front()
        {
            let _ = remove_watch(&*self.fd, number); // its directory may have gone
            self.forget(number);
        }
        let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        let flags = names | WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::ONLYDIR;
        if let Ok(number) = add_watch(&*self.fd, node.link(), flags) {
            self.watched.insert(number, node.clone());
            self.numbers.insert(node.inode, number);
            self.oldest.push_back(number);
        }
    }

    fn forget(&mut self, number: i32) {
        if let Some(node) = self.watched.remove(&number) {
            self.numbers.remove(&node.inode);
        }
        self.oldest.retain(|&other| other != number);
    }

    /// Notes what has happened so far.
    pub fn collect(&mut self) {
        for (number, name) in self.read() {
            let Some(dir) = self.watched.get(&number) else {
                continue;
            };
            let known = |change: &Change| change.dir.inode == dir.inode && change.name == name;
            if self.changes.len() < MAX_CHANGES && !self.changes.iter().rev().take(64).any(known) {
                self.changes.push_back(Change {
                    dir: dir.clone(),
                    name,
                });
            }
        }
    }

    /// What has happened since `collect` was the guest's own doing.
    pub fn discard(&mut self) {
        self.read();
    }

    fn read(&mut self) -> Vec<(i32, Vec<u8>)> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = Reader::new(&*self.fd, &mut buffer);
        let (mut events, mut ended) = (Vec::new(), Vec::new());
        // Empty in the end: the next would wait.
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::IGNORED) {
                ended.push(event.wd());
            } else if let Some(name) = event.file_name() {
                events.push((event.wd(), name.to_bytes().to_vec()));
            }
        }
        ended.into_iter().for_each(|number| self.forget(number));
        events
    }

    pub fn take(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Another guest has come to nothing yet.
    pub fn clear(&mut self) {
        for number in self.watched.keys() {
            let _ = remove_watch(&*self.fd, *number); // its directory may have gone
        }
        self.watched.clear();
        self.numbers.clear();
        self.oldest.clear();
        self.changes.clear();
        self.discard();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::{Scratch, node_at};
    use std::fs;

    fn names(watches: &mut Watches) -> Vec<String> {
        watches.collect();
        let changes = std::iter::from_fn(|| watches.take());
        changes
            .map(|change| String::from_utf8_lossy(&change.name).into_owned())
            .collect()
    }

    #[test]
    fn tells_each_name_once_and_only_what_others_did() {
        let scratch = Scratch::new("watches");
        let mut watches = Watches::new().expect("inotify is there");
        watches.add(&Arc::new(scratch.node()));
        fs::write(scratch.0.join("host"), "one").expect("it can be written");
        fs::write(scratch.0.join("host"), "two").expect("it can be written");
        watches.collect();
        fs::write(scratch.0.join("guest"), "").expect("it can be written");
        watches.discard();
        assert_eq!(names(&mut watches), ["host"]);
        fs::remove_file(scratch.0.join("guest")).expect("it can be removed");
        assert_eq!(names(&mut watches), ["guest"]);
    }

    #[test]
    fn forgets_the_oldest_and_in_the_end_all() {
        let scratch = Scratch::new("watches-many");
        let mut watches = Watches::new().expect("inotify is there");
        for number in 0..MAX_WATCHES + 5 {
            let path = scratch.0.join(number.to_string());
            fs::create_dir(&path).expect("it can be made");
            watches.add(&Arc::new(node_at(&path)));
        }
        // Where the user may have fewer, there are fewer.
        let count = watches.watched.len();
        assert!(count <= MAX_WATCHES && watches.numbers.len() == count && watches.oldest.len() == count);
        fs::write(scratch.0.join("0").join("x"), "").expect("it can be written");
        assert!(names(&mut watches).is_empty(), "the first has given way");
        watches.clear();
        fs::write(scratch.0.join("9").join("x"), "").expect("it can be written");
        assert!(names(&mut watches).is_empty());
    }
}

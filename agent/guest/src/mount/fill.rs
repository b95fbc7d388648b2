//! A volume's first content: what the image has where the volume is mounted, as Docker does.
//!
//! How far it has come stands on the directory itself: a try that was cut is begun anew, and what is full and in use since
//! is left alone even where the host has never heard of it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, XattrFlags};
use rustix::io::Errno;

use super::attributes::MARK;
use super::copy;

const BEGUN: &[u8] = b"begun";
const DONE: &[u8] = b"done";
/// e2fsck's own, at the root of an ext4.
const LOST_AND_FOUND: &[u8] = b"lost+found";

/// What was found, and so what was done.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Copied,
    WasFull,
}

/// Fills `volume` with what is at `target` of `image`: a mount of the root alone, whatever else is mounted there.
pub fn fill(image: &OwnedFd, target: &str, volume: impl AsFd) -> io::Result<Outcome> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let volume = rustix::fs::openat(volume, ".", flags, Mode::empty())?;
    match mark_of(&volume)?.as_slice() {
        DONE => return Ok(Outcome::WasFull),
        BEGUN => empty(&volume)?,
        // Whoever has put files there without a word has filled it.
        _ if !is_empty(&volume)? => return Ok(Outcome::WasFull),
        _ => {}
    }
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = match rustix::fs::openat2(image, target, flags, Mode::empty(), within) {
        Ok(found) => Some(found),
        // The image has nothing there, or something that holds no files.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV) => None,
        Err(error) => return Err(error.into()),
    };
    // In this order on disk too: the journal keeps it.
    set_mark(&volume, BEGUN)?;
    if let Some(found) = found {
        copy::tree(found, &volume)?;
    }
    rustix::fs::syncfs(&volume)?;
    set_mark(&volume, DONE)?;
    rustix::fs::syncfs(&volume)?;
    Ok(Outcome::Copied)
}

fn mark_of(volume: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut mark = vec![0; 16];
    match rustix::fs::fgetxattr(volume, MARK, mark.as_mut_slice()) {
        Ok(length) => mark.truncate(length),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => mark.clear(),
        Err(error) => return Err(error.into()),
    }
    Ok(mark)
}

/// A file system without attributes (vfat) keeps no mark: there a try that was cut is taken for full.
fn set_mark(volume: &OwnedFd, mark: &[u8]) -> io::Result<()> {
    match rustix::fs::fsetxattr(volume, MARK, mark, XattrFlags::empty()) {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_empty(volume: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(volume)? {
        if is_content(entry?.file_name().to_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_content(name: &[u8]) -> bool {
    !matches!(name, b"." | b"..") && name != LOST_AND_FOUND
}

/// Nobody has seen what is removed: no program runs before a volume is full.
fn empty(volume: &OwnedFd) -> io::Result<()> {
    for entry in Dir::read_from(volume)? {
        let entry = entry?;
        if is_content(entry.file_name().to_bytes()) {
            remove(volume.as_fd(), entry.file_name())?;
        }
    }
    Ok(())
}

fn remove(directory: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {
            use std::os::unix::ffi::OsStrExt;
            let path = std::path::Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
            fs::remove_dir_all(path.join(std::ffi::OsStr::from_bytes(name.to_bytes())))
        }
        removed => Ok(removed?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;

    use super::*;

    /// An image and a volume of it; None where the file system or the user lets nobody mark it.
    struct Pair(PathBuf);

    impl Pair {
        fn new(name: &str) -> Option<Self> {
            let path = std::env::temp_dir().join(format!("kiln-fill-{}-{name}", std::process::id()));
            fs::create_dir_all(path.join("image/data/deep")).unwrap();
            fs::write(path.join("image/data/deep/file"), "image's").unwrap();
            fs::create_dir_all(path.join("volume/lost+found")).unwrap();
            let pair = Self(path);
            match rustix::fs::setxattr(pair.volume(), MARK, b"", XattrFlags::empty()) {
                Ok(()) => Some(pair),
                Err(error) => {
                    eprintln!("not tested here: trusted attributes cannot be set: {error}");
                    None
                }
            }
        }

        fn volume(&self) -> PathBuf {
            self.0.join("volume")
        }

        fn fill(&self, target: &str) -> Outcome {
            let open = |path: PathBuf| OwnedFd::from(File::open(path).unwrap());
            fill(&open(self.0.join("image")), target, open(self.volume())).unwrap()
        }

        fn read(&self) -> Option<String> {
            fs::read_to_string(self.volume().join("deep/file")).ok()
        }
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn fills_once_and_never_again() {
        let Some(pair) = Pair::new("once") else { return };
        assert_eq!(pair.fill("/data"), Outcome::Copied);
        assert_eq!(pair.read().as_deref(), Some("image's"));
        fs::remove_file(pair.volume().join("deep/file")).unwrap();
        assert_eq!(pair.fill("/data"), Outcome::WasFull);
        assert_eq!(pair.read(), None, "what its user has removed stays away");
    }

    #[test]
    fn begins_anew_where_a_try_was_cut() {
        let Some(pair) = Pair::new("cut") else { return };
        fs::create_dir_all(pair.volume().join("half/made")).unwrap();
        fs::create_dir(pair.volume().join("deep")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", pair.volume().join("deep/file")).unwrap();
        rustix::fs::setxattr(pair.volume(), MARK, BEGUN, XattrFlags::empty()).unwrap();
        assert_eq!(pair.fill("/data"), Outcome::Copied);
        assert_eq!(pair.read().as_deref(), Some("image's"));
        assert!(!pair.volume().join("half").exists());
    }

    #[test]
    fn leaves_a_volume_alone_that_holds_anything() {
        let Some(pair) = Pair::new("full") else { return };
        fs::write(pair.volume().join("imported"), "").unwrap();
        assert_eq!(pair.fill("/data"), Outcome::WasFull);
        assert_eq!(pair.read(), None);
    }

    #[test]
    fn is_done_where_the_image_has_nothing() {
        let Some(pair) = Pair::new("nothing") else { return };
        assert_eq!(pair.fill("/nowhere"), Outcome::Copied);
        assert_eq!(pair.fill("/data"), Outcome::WasFull);
        assert_eq!(pair.read(), None);
    }
}

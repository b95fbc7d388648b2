//! Where something is mounted: in the root as its image made it, with links followed inside it, and never where that would
//! take from the guest what every program needs.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::archive::source::is_kernels_own;
use crate::machine::paths;

/// What the source is decides what its target has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
}

/// A place that is there, and held: who moves it or puts a link there meanwhile changes nothing of it.
pub struct Target {
    pub place: PathBuf,
    pub fd: OwnedFd,
}

/// Makes what is missing.
pub fn open(root: &Path, target: &str, kind: Kind) -> io::Result<Target> {
    let place = match kind {
        Kind::Directory => paths::make_directory(root, Path::new(target))?,
        Kind::File => make_file(root, Path::new(target))?,
    };
    check(root, &place)?;
    let flags = OFlags::PATH
        | OFlags::CLOEXEC
        | match kind {
            Kind::Directory => OFlags::DIRECTORY,
            Kind::File => OFlags::NOFOLLOW,
        };
    let no_links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let fd = rustix::fs::openat2(CWD, &place, flags, Mode::empty(), no_links)?;
    Ok(Target { place, fd })
}

/// The file itself, empty where there was none.
fn make_file(root: &Path, target: &Path) -> io::Result<PathBuf> {
    let place = paths::place_of_file(root, target)?;
    match fs::symlink_metadata(&place) {
        Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            check(root, &place)?;
            let mut options = File::options();
            options.write(true).create_new(true).mode(0o644).open(&place)?;
        }
        Err(error) => return Err(error),
    }
    Ok(place)
}

/// The root itself, the kernel's own file systems and the devices stay as they are.
pub fn check(root: &Path, place: &Path) -> io::Result<()> {
    let above = if fs::symlink_metadata(place).is_ok() {
        Some(place)
    } else {
        place.parent()
    };
    if place == root || above.is_none_or(is_kernels_own) {
        let text = "nothing can be mounted over the root, /dev, or the kernel's own files";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kiln-target-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path.canonicalize().unwrap())
        }

        fn open(&self, target: &str, kind: Kind) -> io::Result<PathBuf> {
            let Target { place, fd } = open(&self.0, target, kind)?;
            let held = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd)))?;
            assert_eq!(held, place);
            Ok(place.strip_prefix(&self.0).unwrap().to_path_buf())
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn makes_directories_and_files_where_links_lead_inside_the_root() {
        let root = Root::new("made");
        symlink("../../../outside", root.0.join("up")).unwrap();
        symlink("/etc/real.conf", root.0.join("conf")).unwrap();
        let directory = root.open("/up/data", Kind::Directory).unwrap();
        assert_eq!(directory, Path::new("outside/data"));
        let file = root.open("/conf", Kind::File).unwrap();
        assert_eq!(file, Path::new("etc/real.conf"));
        let again = root.open("/etc/real.conf", Kind::File).unwrap();
        assert_eq!(again, file);
        assert!(root.0.join("etc/real.conf").is_file());
    }

    #[test]
    fn refuses_what_leaves_no_place() {
        let root = Root::new("refused");
        symlink("/", root.0.join("all")).unwrap();
        symlink("loop", root.0.join("loop")).unwrap();
        fs::write(root.0.join("file"), "").unwrap();
        fs::create_dir(root.0.join("directory")).unwrap();
        for (target, kind) in [
            ("/", Kind::Directory),
            ("/..", Kind::Directory),
            ("/all", Kind::Directory),
            ("/loop", Kind::Directory),
            ("/file", Kind::Directory),
            ("/file/below", Kind::Directory),
            ("/directory", Kind::File),
            ("/", Kind::File),
        ] {
            assert!(root.open(target, kind).is_err(), "{target}");
        }
    }

    #[test]
    fn leaves_the_kernels_own_alone() {
        let root = Path::new("/");
        for place in ["/", "/dev", "/proc", "/proc/self", "/proc/nothing"] {
            assert!(check(root, Path::new(place)).is_err(), "{place}");
        }
        assert!(check(root, Path::new("/tmp")).is_ok());
    }
}

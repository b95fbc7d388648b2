//! Files of /etc in a root that belongs to its own init: written as any program would, and the init's from then on.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::paths;

/// Makes `text` what a reader of `target` finds in the root at `root`. By a rename: a start that is cut off leaves the file
/// as it was.
pub fn write(root: &Path, target: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    let text = text.as_ref();
    let place = paths::place_of_file(root, target)?;
    if !is_file_or_missing(&place)? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "something else is in its place",
        ));
    }
    if holds(&place, text) {
        return Ok(());
    }
    let beside = beside(&place).ok_or(io::ErrorKind::InvalidInput)?;
    // Of a start that was cut off.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&beside)?;
    let replaced = made.write_all(text).and_then(|()| fs::rename(&beside, &place));
    if replaced.is_err() {
        // It did not become what it was made for.
        let _ = fs::remove_file(&beside);
    }
    replaced
}

/// The same where the file is still as it was written: who has replaced it since is in charge of it.
pub fn rewrite(root: &Path, target: &Path, before: &str, text: &str) -> io::Result<()> {
    let place = paths::place_of_file(root, target)?;
    if holds(&place, before.as_bytes()) {
        write(root, target, text)
    } else {
        Ok(())
    }
}

/// False for what nothing may be put in the place of, nor over: a directory, or /dev/null where a link leads there.
pub fn is_file_or_missing(place: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(place) {
        Ok(found) => Ok(found.is_file()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn holds(place: &Path, text: &[u8]) -> bool {
    // The length first: an image's file may be of any size.
    fs::symlink_metadata(place).is_ok_and(|found| found.is_file() && found.len() == text.len() as u64)
        && fs::read(place).is_ok_and(|bytes| bytes == text)
}

fn beside(place: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(place.file_name()?);
    name.push(".kiln");
    Some(place.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kiln-written-{}-{name}", std::process::id()));
            fs::create_dir_all(path.join("etc")).unwrap();
            Self(path)
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.join(path)
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.at(path)).unwrap()
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn writes_where_a_reader_looks_and_leaves_other_names_of_the_file_alone() {
        let root = Root::new("links");
        fs::write(root.at("etc/hostname"), "image\n").unwrap();
        fs::hard_link(root.at("etc/hostname"), root.at("etc/other")).unwrap();
        symlink("/run/resolvconf/resolv.conf", root.at("etc/resolv.conf")).unwrap();
        // Of a start that was cut off.
        fs::write(root.at("etc/.hostname.kiln"), "half").unwrap();
        for (target, text) in [
            ("/etc/hostname", "vm\n"),
            ("/etc/resolv.conf", "nameserver 10.0.2.3\n"),
        ] {
            write(&root.0, Path::new(target), text).unwrap();
        }
        assert_eq!(root.read("etc/hostname"), "vm\n");
        assert_eq!(root.read("etc/other"), "image\n");
        assert_eq!(root.read("run/resolvconf/resolv.conf"), "nameserver 10.0.2.3\n");
        let inode = root.at("etc/hostname").metadata().unwrap().ino();
        write(&root.0, Path::new("/etc/hostname"), "vm\n").unwrap();
        assert_eq!(
            root.at("etc/hostname").metadata().unwrap().ino(),
            inode,
            "it says so already"
        );
        let names = fs::read_dir(root.at("etc")).unwrap();
        assert_eq!(names.count(), 3, "nothing is left beside them");
    }

    #[test]
    fn rewrites_only_what_is_still_its_own() {
        let root = Root::new("own");
        let target = Path::new("/etc/resolv.conf");
        write(&root.0, target, "one\n").unwrap();
        rewrite(&root.0, target, "one\n", "two\n").unwrap();
        assert_eq!(root.read("etc/resolv.conf"), "two\n");
        fs::write(root.at("etc/resolv.conf"), "NetworkManager's\n").unwrap();
        rewrite(&root.0, target, "two\n", "three\n").unwrap();
        assert_eq!(root.read("etc/resolv.conf"), "NetworkManager's\n");
    }

    #[test]
    fn replaces_nothing_but_files() {
        let root = Root::new("other");
        fs::create_dir(root.at("etc/hosts")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.at("null"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .unwrap();
        symlink("/null", root.at("etc/resolv.conf")).unwrap();
        for target in ["/etc/hosts", "/etc/resolv.conf"] {
            assert!(write(&root.0, Path::new(target), "x").is_err(), "{target}");
        }
        assert!(!root.at("null").metadata().unwrap().is_file());
    }
}

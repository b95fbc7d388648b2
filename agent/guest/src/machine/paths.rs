//! Paths inside a root as an image made it: links followed, also where they lead to nothing, and what is missing made.
//!
//! For what has to be there although nobody looked whether it can be: mount points, files of /etc, working directories,
//! volumes. `create_dir_all` stops at a link to nothing ("File exists").

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

/// The kernel's limit on symlinks in one path.
const MAX_LINKS: usize = 40;

/// Makes the directory at `path` of the root at `root`, and all above it; gives where it really is.
pub fn make_directory(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let walked = walk(root, path, Missing::Made)?;
    if walked.last == Last::Other {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(walked.place)
}

/// Where a file at `path` of the root at `root` is, or would be: its directory is there afterwards.
pub fn place_of_file(root: &Path, path: &Path) -> io::Result<PathBuf> {
    Ok(walk(root, path, Missing::LastLeft)?.place)
}

/// Where `path` of the root at `root` leads, with nothing made.
pub fn place_of(root: &Path, path: &Path) -> io::Result<PathBuf> {
    Ok(walk(root, path, Missing::Left)?.place)
}

/// What becomes of directories that are not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Made,
    /// All but the last name.
    LastLeft,
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Directory,
    Missing,
    Other,
}

struct Walked {
    place: PathBuf,
    last: Last,
}

/// Follows `path` as a process whose root is `root` would.
fn walk(root: &Path, path: &Path, missing: Missing) -> io::Result<Walked> {
    let mut pending = words(path);
    let mut place = root.to_path_buf();
    let mut last = Last::Directory;
    let mut links = 0;
    while let Some(word) = pending.pop() {
        if word == ".." {
            if place != root {
                place.pop();
            }
            last = Last::Directory;
            continue;
        }
        let next = place.join(&word);
        match fs::symlink_metadata(&next) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                let target = fs::read_link(&next)?;
                if target.is_absolute() {
                    place = root.to_path_buf();
                }
                pending.extend(words(&target));
                last = Last::Directory;
                continue;
            }
            Ok(found) if found.is_dir() => last = Last::Directory,
            Ok(_) if pending.is_empty() => last = Last::Other,
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) if missing == Missing::Left => last = Last::Missing,
            Err(_) if pending.is_empty() && missing == Missing::LastLeft => last = Last::Missing,
            Err(_) => {
                fs::DirBuilder::new().mode(0o755).create(&next)?;
                last = Last::Directory;
            }
        }
        place = next;
    }
    Ok(Walked { place, last })
}

/// The names of a path, the last one first.
fn words(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut words: Vec<OsString> = names.map(OsStr::to_owned).collect();
    words.reverse();
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A root of its own for each test.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kiln-paths-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.join(path)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn follows_links_to_nothing_and_makes_what_they_name() {
        let root = Root::new("dangling");
        fs::create_dir(root.at("etc")).unwrap();
        symlink("/run/resolvconf/resolv.conf", root.at("etc/resolv.conf")).unwrap();
        symlink("/var/volatile", root.at("run")).unwrap();
        let place = place_of_file(&root.0, Path::new("/etc/resolv.conf")).unwrap();
        assert_eq!(place, root.at("var/volatile/resolvconf/resolv.conf"));
        assert!(place.parent().unwrap().is_dir() && !place.exists());

        symlink("../srv/./data", root.at("var/work")).unwrap();
        let made = make_directory(&root.0, Path::new("/var/work/deep")).unwrap();
        assert_eq!(made, root.at("srv/data/deep"));
        assert!(made.is_dir());
    }

    #[test]
    fn says_where_a_path_leads_and_makes_nothing() {
        let root = Root::new("looking");
        symlink("/var/volatile", root.at("run")).unwrap();
        let place = place_of(&root.0, Path::new("/run/a/../b")).unwrap();
        assert_eq!(place, root.at("var/volatile/b"));
        assert_eq!(fs::read_dir(&root.0).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_of_etc_that_is_itself_a_link_to_nothing() {
        let root = Root::new("etc");
        symlink("/nowhere/at/all", root.at("etc")).unwrap();
        let place = place_of_file(&root.0, Path::new("/etc/hosts")).unwrap();
        assert_eq!(place, root.at("nowhere/at/all/hosts"));
    }

    #[test]
    fn never_leaves_the_root() {
        let root = Root::new("inside");
        symlink("../../../../outside", root.at("up")).unwrap();
        assert_eq!(
            make_directory(&root.0, Path::new("/up")).unwrap(),
            root.at("outside")
        );
        assert_eq!(make_directory(&root.0, Path::new("/../..")).unwrap(), root.0);
    }

    #[test]
    fn refuses_loops_and_files_in_the_way() {
        let root = Root::new("odd");
        symlink("b", root.at("a")).unwrap();
        symlink("a", root.at("b")).unwrap();
        fs::write(root.at("file"), "").unwrap();
        let loops = make_directory(&root.0, Path::new("/a")).unwrap_err();
        assert_eq!(loops.raw_os_error(), Some(libc::ELOOP));
        for path in ["/file", "/file/below"] {
            let error = make_directory(&root.0, Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{path}");
        }
        assert_eq!(
            place_of_file(&root.0, Path::new("/file")).unwrap(),
            root.at("file")
        );
    }
}

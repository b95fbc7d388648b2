//! What an archive reads, of a root that lives: whatever it looks at may be gone, or another thing, a moment later, and what
//! says that it is a file may be the kernel's, with neither a size nor an end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

const PIECE: usize = 64 << 10;
/// So much is read of a file whose size nothing tells.
const MAX_UNSIZED: usize = 16 << 20;
/// What holds no files of the root's own (linux/magic.h): proc, sysfs, cgroup2, devpts, mqueue, debugfs, tracefs,
/// securityfs, bpf, pstore, configfs, binfmt_misc, fusectl.
const KERNELS_OWN: [i64; 13] = [
    0x9fa0,
    0x6265_6572,
    0x6367_7270,
    0x1cd1,
    0x1980_0202,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11_u32 as i64,
    0x6165_676c,
    0x6265_6570,
    0x4249_4e4d,
    0x6573_5543,
];

pub fn is_kernels_own(path: &Path) -> bool {
    path == Path::new("/dev")
        || rustix::fs::statfs(path).is_ok_and(|system| KERNELS_OWN.contains(&system.f_type))
}

/// None where what was looked at has gone meanwhile, or another thing is in its place.
pub fn unless_gone<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match outcome {
        Ok(there) => Ok(Some(there)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        // A link where none was.
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a link leads.
pub fn read_link(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read_link(path) {
        Ok(target) => Ok(target.into_os_string().into_vec()),
        // Another thing by now.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(io::ErrorKind::NotFound.into()),
        Err(error) => Err(error),
    }
}

/// Opens a file without waiting: what was one may be a FIFO by now.
pub fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The names in a directory, the last one first. The same tree gives the same archive.
pub fn names_in(directory: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort_by(|one, other| other.cmp(one));
    Ok(names)
}

/// All that there is now of a file whose size nothing tells. One that was opened without waiting is not waited for
/// either: /proc/kmsg has no end, only the next message.
pub fn read_unsized(mut file: impl Read) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    let mut buffer = vec![0; PIECE];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(data),
            Ok(count) => data.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if data.is_empty() => {
                return Err(unreadable(
                    "there is nothing in it now, and no end: it can only be waited for",
                ));
            }
            Err(_) => return Ok(data),
        }
        if data.len() > MAX_UNSIZED {
            let text =
                format!("it is larger than the {MAX_UNSIZED} bytes that are read of a file without a size");
            return Err(unreadable(&text));
        }
    }
}

fn unreadable(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use rustix::fs::FileType;

    use super::*;

    /// Gives its pieces, and then what there is at its end.
    struct Slow(Vec<Vec<u8>>, Option<io::ErrorKind>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match (self.0.pop(), self.1) {
                (Some(piece), _) => (&piece[..]).read(buffer),
                (None, Some(kind)) => Err(kind.into()),
                (None, None) => Ok(0),
            }
        }
    }

    #[test]
    fn never_waits_for_a_file_without_an_end() {
        let blocks = Some(io::ErrorKind::WouldBlock);
        let now = read_unsized(Slow(vec![b"b".to_vec(), b"a".to_vec()], blocks)).unwrap();
        assert_eq!(now, b"ab", "what was there when it was read");
        let error = read_unsized(Slow(Vec::new(), blocks)).unwrap_err();
        assert!(error.to_string().contains("waited for"), "{error}");
        assert_eq!(read_unsized(Slow(Vec::new(), None)).unwrap(), b"");
        let error = read_unsized(io::repeat(7)).unwrap_err();
        assert!(
            error.to_string().contains("larger than the 16777216 bytes"),
            "{error}"
        );
    }

    #[test]
    fn opens_nothing_that_has_become_another_thing() {
        let path = std::env::temp_dir().join(format!("kiln-became-{}", std::process::id()));
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        let fifo = unless_gone(open_file(&path));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        let link = unless_gone(open_file(&path));
        fs::remove_file(&path).unwrap();
        assert!(fifo.unwrap().is_none() && link.unwrap().is_none());
        assert!(
            unless_gone(open_file(Path::new("/etc/passwd")))
                .unwrap()
                .is_some()
        );
        assert!(
            unless_gone(read_link(Path::new("/etc/passwd")))
                .unwrap()
                .is_none()
        );
    }
}

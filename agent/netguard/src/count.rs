//! How much was refused, where kilnd reads it: eight bytes at the beginning of a file of kilnd's, shared as memory. The
//! program confines itself later on and could write nothing then, and a kilnd that goes and comes finds the same number.

use libc::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: OnceLock<&'static AtomicU64> = OnceLock::new();

/// Without a file that can be had nothing is counted; what is refused is refused all the same.
///
/// @param fd open for reading and writing, of a file that has the eight bytes and keeps them; not needed afterwards
pub fn open(fd: c_int) {
    if !has_room(fd) {
        return;
    }
    // SAFETY: a new mapping, wherever the kernel puts it.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<AtomicU64>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return;
    }
    // SAFETY: it is page-aligned, as large, never unmapped, and touched by atomic operations alone.
    let count = unsafe { &*page.cast_const().cast::<AtomicU64>() };
    let _ = COUNT.set(count);
}

/// Memory beyond a file's end would end the program at its first touch.
fn has_room(fd: c_int) -> bool {
    // SAFETY: all zeros is a stat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is writable.
    let result = unsafe { libc::fstat(fd, &raw mut stat) };
    result == 0 && stat.st_size >= size_of::<AtomicU64>() as i64
}

pub fn one() {
    if let Some(count) = COUNT.get() {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsRawFd;

    #[test]
    fn counts_in_the_file_and_goes_on_from_what_is_there() {
        let path = std::env::temp_dir().join(format!("kiln-netguard-count-{}", std::process::id()));
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .expect("a file");
        std::fs::remove_file(&path).expect("removed");
        // Too short: refused, and nothing is touched.
        open(file.as_raw_fd());
        one();
        file.write_all(&41u64.to_ne_bytes()).expect("written");
        open(file.as_raw_fd());
        one();
        let mut found = [0; 8];
        file.rewind().expect("rewound");
        file.read_exact(&mut found).expect("read");
        assert_eq!(u64::from_ne_bytes(found), 42);
    }
}

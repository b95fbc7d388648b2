//! What a name from the guest may be: one component, never a way.

use rustix::io::Errno;

const NAME_MAX: usize = 255;

/// Refuses whatever is not the plain name of something in a directory.
pub fn check(name: &[u8]) -> Result<(), Errno> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        return Err(Errno::INVAL);
    }
    if name.len() > NAME_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_any_bytes_that_are_a_name() {
        for name in [&b"a"[..], b"...", b"..a", b"\xff\xfe", b"a\nb", &[b'x'; 255]] {
            assert_eq!(check(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn takes_nothing_that_leads_elsewhere() {
        for name in [
            &b""[..],
            b".",
            b"..",
            b"../x",
            b"/etc/passwd",
            b"a/",
            b"a/b",
            b"a\0b",
        ] {
            assert_eq!(check(name), Err(Errno::INVAL), "{name:?}");
        }
        assert_eq!(check(&[b'x'; 256]), Err(Errno::NAMETOOLONG));
    }
}

//! Names that nobody guesses, for what is to be asked for again.

use std::fmt::Write;

use rustix::rand::{GetRandomFlags, getrandom};

/// 128 random bits in hex; "" where the kernel gives none: the call then ends with its connection, as without a name.
pub fn unguessable() -> String {
    let mut bytes = [0u8; 16];
    if getrandom(&mut bytes, GetRandomFlags::empty()) != Ok(bytes.len()) {
        return String::new();
    }
    bytes.iter().fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}"); // a String takes all
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_thirty_two_digits_and_others_each_time() {
        let (one, other) = (unguessable(), unguessable());
        assert!(one.len() == 32 && one.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }
}

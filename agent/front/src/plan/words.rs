//! What the plans of all verbs read: the process, and words as they were written.

use std::ffi::OsString;

/// What of the process a plan may look at.
pub struct World<'a> {
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    pub uid: u32,
    /// Stdin is a terminal.
    pub terminal: bool,
}

/// `NAME=VALUE` as it is, `NAME` with our value; alone where we have none: that takes the image's away.
pub fn variable(text: &str, world: &World) -> Option<String> {
    let (name, value) = text
        .split_once('=')
        .map_or((text, None), |(name, value)| (name, Some(value)));
    // What is a space is not the same to everybody beyond ASCII.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    if value.is_some() {
        return Some(text.to_owned());
    }
    match (world.env)(name) {
        None => Some(name.to_owned()),
        // One that is not UTF-8 is the TypeScript CLI's to refuse.
        Some(ours) => Some(format!("{name}={}", ours.to_str()?)),
    }
}

pub fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

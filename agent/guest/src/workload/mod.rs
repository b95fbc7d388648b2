//! What runs in the guest for the host: the main program, extra programs, and execs that outlive their session.

pub mod beside;
pub mod exit;
pub mod kept;
pub mod program;
pub mod slots;
pub mod writers;

/// What a test on the host wants in place of a long time.
fn in_tests(name: &str) -> Option<std::time::Duration> {
    if !cfg!(feature = "host-test") {
        return None;
    }
    let ms = std::env::var(name).ok()?.parse().ok()?;
    Some(std::time::Duration::from_millis(ms))
}

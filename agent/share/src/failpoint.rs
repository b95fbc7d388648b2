//! Named points at which a test's server ends as by kill -9. In a release they are nothing.

/// Between the steps of a request that must not be done twice.
#[derive(Clone, Copy, Debug)]
pub enum Point {
    /// The ledger says that it begins.
    Begun,
    /// It is done, and the ledger does not say so.
    Acted,
    /// The ledger says so, and the guest has no answer.
    Done,
}

/// `KILN_SHARE_DIE=acted:72`: at that point of a request of that type.
#[cfg(feature = "host-test")]
pub fn pass(point: Point, kind: u8) {
    use std::sync::OnceLock;
    static ARMED: OnceLock<Option<String>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| std::env::var("KILN_SHARE_DIE").ok());
    if armed.as_deref() == Some(format!("{point:?}:{kind}").to_lowercase().as_str()) {
        // SAFETY: ends the process. To itself alone: the filter of system calls has no kill(2).
        unsafe { libc::raise(libc::SIGKILL) };
    }
}

#[cfg(not(feature = "host-test"))]
pub fn pass(_point: Point, _kind: u8) {}

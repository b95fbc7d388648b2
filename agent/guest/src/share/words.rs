//! What the agent and a bridge's process tell each other, one message each.

use std::time::Duration;

/// Word of the process.
pub const MOUNTED: u8 = b'm';
/// With a text.
pub const FAILED: u8 = b'f';
pub const AWAY: u8 = b'a';
pub const BACK: u8 = b'b';
/// Word of the agent: nothing waits longer than `GRACE` from now on.
pub const END: u8 = b'e';

pub const GRACE: Duration = Duration::from_secs(3);

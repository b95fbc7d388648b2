//! The guest's end of a live shared directory: between the kernel's 9p client and the share's server on the host, over a
//! byte stream of its own, which may break at any time.
//!
//! `mounted` is the agent's door; it starts a `process` for each share, in which `pump` moves bytes and `bridge` decides.

mod ahead;
mod answer;
mod bridge;
mod chain;
mod connection;
mod fids;
mod hello;
mod idle;
mod inbox;
mod kernel;
mod known;
mod locks;
mod mounted;
mod moves;
mod notices;
mod outbox;
mod patience;
mod pending;
pub mod process;
mod pump;
mod ready;
mod replay;
mod request;
mod session;
mod spec;
mod touch;
mod wire;
mod words;

#[cfg(test)]
mod tests;

pub use connection::Way;
pub use mounted::{Mounted, bridges, mount};
pub use spec::ShareSpec;

//! What each request does.

mod attributes;
mod create;
mod directory;
mod dispatch;
mod extended;
mod lock;
mod make;
mod open;
mod place;
mod remove;
#[cfg(feature = "host-test")]
mod told;
mod walk;

pub use dispatch::Session;

//! The guest's end of a live shared directory: between the kernel's 9p client and the share's server on the host, over a
//! byte stream of its own, which may break at any time.

mod answer;
mod bridge;
mod chain;
mod fids;
mod hello;
mod inbox;
mod locks;
mod moves;
mod outbox;
mod patience;
mod pending;
mod replay;
mod request;
mod session;
mod wire;

#[cfg(test)]
mod tests;

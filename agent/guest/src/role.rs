//! How much of the guest is the agent's.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// PID 1: until Boot, and in app mode.
    Init,
    /// A process beside the image's own init (system mode).
    BesideInit,
    /// An ordinary process on a host (tests): nothing of the machine is ours.
    #[cfg_attr(not(feature = "host-test"), allow(dead_code))]
    Host,
}

//! What runs in the guest for the host: the main program, and execs that outlive their session.

pub mod kept;
pub mod program;

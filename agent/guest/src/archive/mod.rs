//! Files in and out, as tar. Blocking: runs on threads of its own.

pub mod pack;
mod pax;
pub mod tar;
pub mod unpack;

//! Files in and out, as tar. Blocking: runs on threads of its own.

mod directories;
pub mod pack;
mod pax;
mod source;
mod sparse;
pub mod tar;
pub mod unpack;

//! Files in and out, as tar. Blocking: runs on threads of its own.

mod attributes;
mod directories;
mod entry;
pub mod pack;
mod pax;
pub mod source;
mod sparse;
pub mod tar;
pub mod unpack;

//! The machine: what only PID 1 of a guest does.

mod announce;
pub mod boot;
pub mod cards;
pub mod cgroup;
pub mod devices;
pub mod disks;
mod dm;
pub mod dns;
pub mod end;
mod etc_text;
pub mod exitrd;
mod handover;
pub mod modules;
pub mod mounts;
mod names;
pub mod net;
mod net_spec;
mod netlink;
pub mod paths;
mod ready;
mod root;
pub mod signals;
mod sysctl;
pub mod system;
mod written;

//! Which channel this machine has, and when it is there.

use std::fs;
use std::io;

use super::{Channel, PORT_NAME};
use crate::machine::devices::{Uevents, VIRTIO_CONSOLE, VIRTIO_VSOCK, virtio_ids};

/// Finds the channel: the named virtio-serial port, or vsock where the machine has no virtio console.
pub async fn find_channel() -> io::Result<Channel> {
    // With drivers built in it is there before the agent is: no socket is made for nothing while the host waits.
    if let Some(channel) = look_for_channel()? {
        return Ok(channel);
    }
    let events = Uevents::open()?;
    loop {
        if let Some(channel) = look_for_channel()? {
            return Ok(channel);
        }
        events.changed().await;
    }
}

fn look_for_channel() -> io::Result<Option<Channel>> {
    if let Some(device) = named_port(PORT_NAME) {
        return Channel::open_port(&device).map(Some);
    }
    let ids = virtio_ids();
    if ids.iter().any(|id| id == VIRTIO_VSOCK) && !ids.iter().any(|id| id == VIRTIO_CONSOLE) {
        return Channel::listen_vsock().map(Some);
    }
    Ok(None)
}

/// The device of the virtio-serial port with this name.
pub fn named_port(name: &str) -> Option<String> {
    for entry in fs::read_dir("/sys/class/virtio-ports").ok()?.flatten() {
        if fs::read_to_string(entry.path().join("name")).is_ok_and(|text| text.trim() == name) {
            return Some(format!("/dev/{}", entry.file_name().to_str()?));
        }
    }
    None
}

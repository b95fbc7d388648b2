//! Which channel this machine has, and when it is there.

use std::fs;
use std::io;

use super::{Channel, PORT_NAME};
use crate::machine::devices::Uevents;

/// virtio device ids (virtio specification, 5).
const CONSOLE: &str = "0x0003";
const VSOCK: &str = "0x0013";

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
    if ids.iter().any(|id| id == VSOCK) && !ids.iter().any(|id| id == CONSOLE) {
        return Channel::listen_vsock().map(Some);
    }
    Ok(None)
}

fn named_port(name: &str) -> Option<String> {
    for entry in fs::read_dir("/sys/class/virtio-ports").ok()?.flatten() {
        if fs::read_to_string(entry.path().join("name")).is_ok_and(|text| text.trim() == name) {
            return Some(format!("/dev/{}", entry.file_name().to_str()?));
        }
    }
    None
}

fn virtio_ids() -> Vec<String> {
    let Ok(devices) = fs::read_dir("/sys/bus/virtio/devices") else {
        return Vec::new();
    };
    devices
        .flatten()
        .filter_map(|device| fs::read_to_string(device.path().join("device")).ok())
        .map(|id| id.trim().to_owned())
        .collect()
}

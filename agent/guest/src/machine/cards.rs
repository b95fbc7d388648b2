//! Network cards that come and go while the guest runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::net::{self, Link};
use super::net_spec::parse_mac;
use crate::aside::WORK;
use crate::console;
use crate::grpc::status::{Result, Status};
use crate::proto::Network;

/// Between two looks at the links of a guest to which a card comes.
const LOOK: Duration = Duration::from_millis(20);
const SLOTS: &str = "/sys/bus/pci/slots";

/// Returns once all cards of the network are there, or the time is over: whoever sets them up says which one is missing.
pub async fn wait_for(network: &Network, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    let macs: Vec<_> = network
        .interfaces
        .iter()
        .map(|card| parse_mac(&card.mac))
        .collect();
    while Instant::now() < until {
        let links = net::all_links()?;
        let is_there = |mac: &[u8; 6]| links.iter().any(|link| link.mac == mac);
        if macs.iter().flatten().all(is_there) {
            break;
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// The card is no longer the guest's: what is left of it goes with its device, as soon as the host takes that.
pub fn give_up(mac: &str) -> Result<()> {
    let wanted = parse_mac(mac)
        .ok_or_else(|| Status::invalid(format!("\"{}\" is not a MAC address", mac.escape_debug())))?;
    for link in net::all_links()?.iter().filter(|link| link.mac == wanted) {
        // Of a link that lies over it, a bridge for one, the card is not to be taken.
        let Some(device) = device_of(link) else { continue };
        net::down(link)?;
        unbind(&device).map_err(|error| Status::from_io(format_args!("take {} away", link.name), error))?;
        if let Some(slot) = slot_of(&device) {
            // It takes the kernel a second, and several more where nobody asks for it: nobody waits for that here.
            tokio::task::spawn_local(async move {
                let off = WORK.run(move || switch_off(&slot)).await;
                if let Err(error) = off {
                    console::error(format_args!("switch a card off: {}", error.message));
                }
            });
        }
    }
    Ok(())
}

/// Of a card: ".../virtio3".
fn device_of(link: &Link) -> Option<PathBuf> {
    let path = fs::canonicalize(Path::new("/sys/class/net").join(&link.name).join("device")).ok()?;
    let name = path.file_name()?.to_str()?;
    name.starts_with("virtio").then_some(path)
}

fn unbind(device: &Path) -> io::Result<()> {
    let name = device.file_name().unwrap_or_default().as_encoded_bytes();
    match fs::write(device.join("driver/unbind"), name) {
        // It has no driver any more.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// What switches the slot of a PCI card on and off; none of a card that is no such one, or that can't be taken out.
fn slot_of(device: &Path) -> Option<PathBuf> {
    let function = device.parent()?.file_name()?.to_str()?;
    let (address, _) = function.rsplit_once('.')?;
    let slots = fs::read_dir(SLOTS).ok()?;
    slots
        .flatten()
        .map(|slot| slot.path())
        .find(|slot| fs::read_to_string(slot.join("address")).is_ok_and(|text| text.trim() == address))
        .map(|slot| slot.join("power"))
}

fn switch_off(power: &Path) -> Result<()> {
    match fs::write(power, "0") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Status::from_io(format_args!("write {}", power.display()), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_no_card_by_what_is_no_address() {
        assert!(give_up("eth0").is_err());
        assert!(give_up("02:00:00:00:00").is_err());
    }

    #[test]
    fn finds_no_slot_of_what_is_no_pci_card() {
        let mmio = "/sys/devices/platform/LNRO0005:03/virtio3";
        assert_eq!(slot_of(Path::new(mmio)), None);
    }
}

//! What the host asks of one interface, checked. Pure.

use std::net::IpAddr;

use crate::grpc::status::{Result, Status};
use crate::proto::Interface;

/// One interface, read strictly.
pub struct Wanted {
    pub mac: [u8; 6],
    pub name: String,
    pub addresses: Vec<(IpAddr, u8)>,
    pub gateways: Vec<IpAddr>,
    pub mtu: u32,
}

impl Wanted {
    /// Refuses whatever the kernel would take for something else.
    pub fn read(interface: &Interface) -> Result<Self> {
        let bad =
            |what: &str, text: &str| Status::invalid(format!("\"{}\" is not {what}", text.escape_debug()));
        let name = if interface.name.is_empty() {
            "eth0"
        } else {
            &interface.name
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.len() > 15 || !name.bytes().all(plain) || matches!(name, "." | "..") {
            return Err(bad("the name of an interface", name));
        }
        let addresses = interface
            .addresses
            .iter()
            .map(|text| parse_cidr(text).ok_or_else(|| bad("an address with its prefix length", text)))
            .collect::<Result<_>>()?;
        let mut gateways = Vec::new();
        for (text, is_v4) in [(&interface.gateway4, true), (&interface.gateway6, false)] {
            if !text.is_empty() {
                let gateway: IpAddr = text.parse().map_err(|_| bad("the address of a gateway", text))?;
                if gateway.is_ipv4() != is_v4 {
                    return Err(bad("a gateway of that family", text));
                }
                gateways.push(gateway);
            }
        }
        Ok(Wanted {
            mac: parse_mac(&interface.mac).ok_or_else(|| bad("a MAC address", &interface.mac))?,
            name: name.to_owned(),
            addresses,
            gateways,
            mtu: interface.mtu,
        })
    }
}

pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let parts: Vec<&str> = text.split(':').collect();
    let mut mac = [0; 6];
    if parts.len() != mac.len() {
        return None;
    }
    for (byte, part) in mac.iter_mut().zip(parts) {
        let hex = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = u8::from_str_radix(part, 16).ok().filter(|_| hex)?;
    }
    Some(mac)
}

fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = prefix.parse().ok().filter(|_| digits)?;
    (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_with_their_prefix() {
        assert_eq!(
            parse_cidr("10.0.2.15/24"),
            Some(("10.0.2.15".parse().unwrap(), 24))
        );
        assert_eq!(parse_cidr("fd00::2/64"), Some(("fd00::2".parse().unwrap(), 64)));
        for bad in [
            "10.0.2.15",
            "10.0.2.15/33",
            "10.0.2/24",
            "fd00::2/129",
            "10.0.2.15/+8",
            "/",
            "",
        ] {
            assert_eq!(parse_cidr(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_macs() {
        assert_eq!(parse_mac("02:00:0A:ff:10:01"), Some([2, 0, 10, 255, 16, 1]));
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:1",
            "02:00:00:00:00:zz",
            "+2:00:00:00:00:00",
        ] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }

    #[test]
    fn refuses_names_and_gateways_that_are_none() {
        let good = Interface {
            mac: "02:00:00:00:00:01".into(),
            ..Default::default()
        };
        assert_eq!(Wanted::read(&good).map(|wanted| wanted.name).unwrap(), "eth0");
        for name in ["a/b", "..", "much-too-long-name", "eth 0"] {
            assert!(
                Wanted::read(&Interface {
                    name: name.into(),
                    ..good.clone()
                })
                .is_err(),
                "{name}"
            );
        }
        assert!(
            Wanted::read(&Interface {
                gateway4: "fd00::1".into(),
                ..good.clone()
            })
            .is_err()
        );
        assert!(
            Wanted::read(&Interface {
                gateway6: "nowhere".into(),
                ..good
            })
            .is_err()
        );
    }
}

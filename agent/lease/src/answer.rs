//! From a frame to the frame that answers it.

use std::net::Ipv6Addr;

use crate::frame::{self, Ask};
use crate::plan::{Card, Mac, Network, Plan};
use crate::{advert, dhcp4, dhcp6};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

pub fn answer(asked: &[u8], plan: &Plan) -> Option<Vec<u8>> {
    let (from, ask) = frame::parse(asked)?;
    let network = &plan.network;
    match ask {
        Ask::Dhcp4(message) => {
            let reply = dhcp4::answer(message, from, plan)?;
            Some(frame::udp4(
                (network.sender, network.server4),
                reply.to,
                &reply.message,
            ))
        }
        Ask::Dhcp6(address, message) => {
            let reply = dhcp6::answer(message, from, plan)?;
            Some(frame::udp6(
                (network.sender, network.link6),
                (from, address),
                &reply,
            ))
        }
        Ask::Router => advertise(network, from, plan.cards.get(&from)?),
    }
}

/// To one guest alone, whatever the address says.
pub fn advertise(network: &Network, to: Mac, card: &Card) -> Option<Vec<u8>> {
    let body = advert::advertisement(network, card)?;
    Some(frame::icmp6(
        (network.sender, network.link6),
        (to, ALL_NODES),
        body,
    ))
}

#[cfg(test)]
#[path = "fuzz_tests.rs"]
mod fuzz_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{parse, tests::TEXT};

    const WEB: Mac = [2, 0, 0, 0, 0, 5];

    /// xorshift: the same in every run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, below: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % below.max(1) as u64) as usize
        }
    }

    fn whole_frames() -> Vec<Vec<u8>> {
        let mut dhcp4 = vec![0; 240];
        dhcp4[..3].copy_from_slice(&[1, 1, 6]);
        dhcp4[28..34].copy_from_slice(&WEB);
        dhcp4[236..].copy_from_slice(&[99, 130, 83, 99]);
        dhcp4.extend([53, 1, 1, 61, 7, 1, 2, 0, 0, 0, 0, 5, 55, 4, 1, 3, 6, 119, 255]);
        let dhcp6 = [
            &[1, 1, 2, 3, 0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 5, 0, 3, 0, 40][..],
            &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 24],
            &[0xfd; 24],
        ]
        .concat();
        let (any, to) = (std::net::Ipv4Addr::UNSPECIFIED, std::net::Ipv4Addr::BROADCAST);
        let mut one = frame::udp4((WEB, any), (frame::BROADCAST, to), &dhcp4);
        one[36..38].copy_from_slice(&67_u16.to_be_bytes());
        let link = "fe80::5".parse().unwrap();
        let mut two = frame::udp6((WEB, link), (frame::BROADCAST, ALL_NODES), &dhcp6);
        two[56..58].copy_from_slice(&547_u16.to_be_bytes());
        let three = frame::icmp6(
            (WEB, link),
            (frame::BROADCAST, ALL_NODES),
            vec![133, 0, 0, 0, 0, 0, 0, 0],
        );
        vec![one, two, three]
    }

    #[test]
    fn answers_each_kind_and_nobody_unknown() {
        let plan = parse(TEXT).unwrap();
        for mut frame in whole_frames() {
            let reply = answer(&frame, &plan).unwrap();
            assert_eq!((&reply[..6], &reply[6..12]), (&WEB[..], &plan.network.sender[..]));
            assert!(answer(&reply, &plan).is_none(), "of its own answers");
            frame[11] = 99;
            assert_eq!(answer(&frame, &plan), None);
        }
    }

    #[test]
    fn stays_whole_whatever_comes() {
        let plan = parse(TEXT).unwrap();
        let whole = whole_frames();
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let mut answers = 0;
        for round in 0..200_000 {
            let mut frame = whole[round % whole.len()].clone();
            for _ in 0..=dice.roll(6) {
                // Behind the header of Ethernet, where most is looked at.
                let at = 14 + dice.roll(frame.len() - 14);
                frame[at] = dice.roll(256) as u8;
            }
            match dice.roll(4) {
                0 => frame.truncate(dice.roll(frame.len())),
                1 => frame.extend((0..dice.roll(1200)).map(|_| dice.roll(256) as u8)),
                _ => {}
            }
            if let Some(reply) = answer(&frame, &plan) {
                answers += 1;
                assert!(reply.len() <= 1500 && reply[0] & 1 == 0 || reply[..6] == frame::BROADCAST);
            }
        }
        assert!(answers > 1000, "{answers}");
    }
}

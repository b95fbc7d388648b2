//! Whole frames around options that are anything: what stands in an option decides more than the bytes around it.

use super::*;
use crate::plan::{parse, tests::TEXT};
use std::net::Ipv4Addr;

const WEB: Mac = [2, 0, 0, 0, 0, 5];
const LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);
const ROUNDS: usize = 40_000;
/// Of the other cards of the plan, of which a guest is told nothing.
const OTHER_4: [u8; 4] = [10, 30, 3, 7];
const OTHER_6: [u8; 16] = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 7).octets();

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.roll(most + 1)).map(|_| self.roll(256) as u8).collect()
    }
}

/// A length that is right, mostly.
fn length(dice: &mut Dice, right: usize) -> usize {
    match dice.roll(12) {
        0 => 0,
        1 => right.saturating_sub(1),
        2 => right + 1,
        3 => 0xffff,
        _ => right,
    }
}

fn dhcp4(dice: &mut Dice) -> Vec<u8> {
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[1, 1, 6]);
    message[10] = dice.one(&[0, 0x80]);
    message[12..16].copy_from_slice(&dice.one(&[[0; 4], [10, 89, 1, 5], [10, 89, 1, 6], [255; 4]]));
    message[28..34].copy_from_slice(&WEB);
    message[236..].copy_from_slice(&[99, 130, 83, 99]);
    let kind = dice.one(&[1, 3, 3, 8, 4, 7, 0, 255]);
    message.extend([53, 1, kind]);
    for _ in 0..dice.roll(12) {
        let code = dice.one(&[0, 12, 43, 50, 53, 54, 55, 57, 60, 61, 77, 81, 82, 116, 255]);
        let value = match (code, dice.roll(3)) {
            (50, 0) => vec![10, 89, 1, 5],
            (54, 0) => vec![10, 89, 1, 1],
            (57, 0) => vec![0xff, 0xff],
            (57, 1) => vec![0, 0],
            (55, 0) => vec![1, 3, 6, 12, 15, 26, 28, 119, 121],
            _ => dice.bytes(255),
        };
        let said = length(dice, value.len());
        message.extend([code, said as u8]);
        message.extend(value);
    }
    message
}

fn dhcp6(dice: &mut Dice) -> Vec<u8> {
    let mut message = vec![dice.one(&[1, 3, 4, 5, 6, 8, 9, 11, 2, 7, 12, 13]), 1, 2, 3];
    message.extend([0, 1, 0, 4, 0, 4, 1, 2]);
    for _ in 0..dice.roll(24) {
        let option = option6(dice, 0);
        message.extend(option);
    }
    message
}

fn option6(dice: &mut Dice, depth: usize) -> Vec<u8> {
    let code = dice.one(&[1, 2, 3, 3, 3, 4, 5, 5, 6, 8, 14, 16, 25, 39, 0xffff]);
    let value: Vec<u8> = match (code, dice.roll(4)) {
        (2, 0) => vec![0, 3, 0, 1, 6, 0, 0, 0, 0, 1],
        (3 | 25, 0..3) if depth < 3 => {
            let mut value = vec![0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
            for _ in 0..dice.roll(10) {
                value.extend(option6(dice, depth + 1));
            }
            value
        }
        (5, 0..3) => {
            let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, dice.one(&[5, 6, 0x99]));
            [&address.octets()[..], &[0; 8]].concat()
        }
        _ => dice.bytes(140),
    };
    let said = length(dice, value.len()) as u16;
    [&u16::to_be_bytes(code)[..], &said.to_be_bytes(), &value].concat()
}

#[test]
fn options_that_are_anything_are_answered_to_whom_asked_and_of_that_one_alone() {
    let plan = parse(TEXT).unwrap();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut answers = [0; 2];
    for round in 0..ROUNDS {
        let which = round % 2;
        let frame = if which == 0 {
            let (any, all) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
            let mut frame = frame::udp4((WEB, any), (frame::BROADCAST, all), &dhcp4(&mut dice));
            frame[36..38].copy_from_slice(&67_u16.to_be_bytes());
            frame
        } else {
            let mut frame = frame::udp6((WEB, LINK), (frame::BROADCAST, ALL_NODES), &dhcp6(&mut dice));
            frame[56..58].copy_from_slice(&547_u16.to_be_bytes());
            frame
        };
        let Some(reply) = answer(&frame, &plan) else {
            continue;
        };
        answers[which] += 1;
        assert_eq!(reply[6..12], plan.network.sender);
        assert!(reply[..6] == WEB || which == 0 && reply[..6] == frame::BROADCAST);
        assert!(reply.len() <= 14 + 1280 || reply.len() <= 2 * frame.len() + 1024);
        let tells = |what: &[u8]| reply.windows(what.len()).any(|part| part == what);
        let asked = |what: &[u8]| frame.windows(what.len()).any(|part| part == what);
        assert!(!tells(&OTHER_4) || asked(&OTHER_4));
        assert!(!tells(&OTHER_6) || asked(&OTHER_6));
        assert_eq!(answer(&reply, &plan), None, "of its own answers");
    }
    assert!(answers.iter().all(|count| *count > 100), "{answers:?}");
}

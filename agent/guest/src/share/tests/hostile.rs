//! Servers and kernels that say what they should not.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Dice;
use super::mount::{Share, write};
use crate::share::bridge::{Bridge, Malformed};
use crate::share::hello;
use crate::share::wire::{self, Message};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_server_that_believes_in_another_session_is_asked_to_begin_anew() {
    let now = Instant::now();
    let mut bridge = Bridge::new(None, now);
    bridge.connected(now);
    let next = bridge.next_tick().expect("it does not wait for ever");
    bridge.tick(next);
    let sent: Vec<u8> = bridge.to_server.parts().flatten().copied().collect();
    assert_eq!(sent, hello::nudge());
    assert!(bridge.next_tick().is_some_and(|again| again > next));
}

#[test]
fn nonsense_of_the_server_ends_the_session_and_loses_nothing() {
    let answers: [Message; 5] = [
        Message::new(wire::TREAD + 1, 0).data(b"of another kind"),
        Message::new(wire::TWALK + 1, 0).u16(3).u8(0),
        Message::new(wire::TWALK + 1, 0)
            .u16(2)
            .u8(0)
            .u32(0)
            .u64(1)
            .u8(0)
            .u32(0)
            .u64(1),
        Message::new(wire::TWALK + 1, 0),
        Message::new(wire::TWALK + 1, 0).string(&[0; 9000]),
    ];
    for answer in answers {
        let mut share = Share::new(None);
        share.say(Message::new(wire::TWALK, 5).u32(1).u32(3).u16(1).string(b"file"));
        let sent: Vec<u8> = share.bridge.to_server.parts().flatten().copied().collect();
        share.bridge.to_server.clear();
        let mut answer = answer.done().to_vec();
        wire::set_tag(&mut answer, wire::tag(&sent));
        share.bridge.server_sent(&answer, share.now);
        assert!(share.bridge.is_away());
        share.kill();
        assert_eq!(share.read(), []);
        share.start();
        assert_eq!(share.read(), [(wire::TWALK + 1, 5, None)]);
    }
}

#[test]
fn answers_to_nothing_go_nowhere() {
    let mut share = Share::new(None);
    for tag in [0, 3999, 4000, 4008, 65_000, wire::NO_TAG] {
        share
            .bridge
            .server_sent(&Message::new(wire::TCLUNK + 1, tag).done(), share.now);
    }
    assert_eq!(share.read(), []);
    assert_eq!(share.ask(write(1, b"on")), None);
}

#[test]
fn a_kernel_that_says_no_9p_is_told_apart() {
    for length in [0_u32, 6, wire::MSIZE + 1] {
        let mut bridge = Bridge::new(None, Instant::now());
        let bytes = Bytes::copy_from_slice(&length.to_le_bytes());
        assert_eq!(bridge.kernel_wrote(&bytes, Instant::now()), Err(Malformed));
    }
}

/// Bytes that are nearly messages.
fn nearly_message(dice: &mut Dice) -> Vec<u8> {
    const KINDS: [u8; 14] = [7, 13, 15, 31, 33, 53, 75, 77, 101, 105, 109, 111, 119, 251];
    let length = dice.roll(60);
    let mut bytes: Vec<u8> = (0..wire::HEADER + length).map(|_| dice.roll(256) as u8).collect();
    let size = if dice.roll(50) == 0 {
        dice.roll(1 << 21)
    } else {
        bytes.len()
    };
    bytes[..4].copy_from_slice(&(size as u32).to_le_bytes());
    bytes[4] = KINDS[dice.roll(KINDS.len())];
    let tag = if dice.roll(4) == 0 {
        4000 + dice.roll(9)
    } else {
        dice.roll(3)
    };
    wire::set_tag(&mut bytes, tag as u16);
    bytes
}

#[test]
fn a_server_that_says_anything_at_all_is_outlived() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let mut share = Share::new(None);
        for round in 0..2000 {
            match dice.roll(30) {
                0 => {
                    share.kill();
                    share.bridge.connected(share.now);
                    share.bridge.server_sent(&hello::greeting(1), share.now);
                }
                1 => share
                    .bridge
                    .server_sent(&hello::greeting(dice.roll(256) as u8), share.now),
                2..=8 => {
                    let mut bytes = nearly_message(&mut dice);
                    bytes[4] = bytes[4].wrapping_sub(1);
                    let size = bytes.len() as u32;
                    bytes[..4].copy_from_slice(&size.to_le_bytes());
                    wire::set_tag(&mut bytes, round);
                    assert_eq!(share.bridge.kernel_wrote(&bytes, share.now), Ok(()));
                }
                9 => share.wait(SECOND),
                _ => {
                    let bytes = nearly_message(&mut dice);
                    share.bridge.server_sent(&bytes, share.now);
                }
            }
            share.bridge.to_kernel.clear();
            assert!(share.bridge.to_server.length() < 1 << 20, "seed {seed}, {round}");
            share.bridge.to_server.clear();
        }
    }
}

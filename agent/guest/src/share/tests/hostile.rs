//! Servers and kernels that say what they should not.

use std::time::Instant;

use bytes::Bytes;

use super::mount::{Share, write};
use crate::share::bridge::{Bridge, Malformed};
use crate::share::hello;
use crate::share::wire::{self, Message};

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

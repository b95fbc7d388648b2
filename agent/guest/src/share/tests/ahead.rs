//! What is answered before the server has.

use super::mount::{Share, clunk, write};
use super::server::Server;
use crate::share::wire::{self, Message};

fn walk(from: u32, to: u32, name: &[u8]) -> Message {
    Message::new(wire::TWALK, 1).u32(from).u32(to).u16(1).string(name)
}

fn clone(from: u32, to: u32) -> Message {
    Message::new(wire::TWALK, 1).u32(from).u32(to).u16(0)
}

fn look(fid: u32) -> Message {
    Message::new(wire::TGETATTR, 1).u32(fid).u64(0x7ff)
}

/// What was said is not heard by a server that is not there, and answered nevertheless.
fn unheard(share: &mut Share, message: Message) -> Option<Option<i32>> {
    let server = share.server.take();
    share.say(message);
    let answers = share.read();
    share.server = server;
    answers.first().map(|answer| answer.2)
}

#[test]
fn what_was_walked_to_is_looked_at_and_let_go_of_without_a_wait() {
    let mut share = Share::new(None);
    assert_eq!(share.ask(walk(1, 3, b"file")), None);
    assert_eq!(unheard(&mut share, look(3)), Some(None));
    assert_eq!(
        unheard(&mut share, look(3)),
        None,
        "the second asks for what is now"
    );
    share.read();
    assert_eq!(unheard(&mut share, clunk(1, 3)), Some(None));
    assert!(!share.bridge.to_server.is_urgent());
    assert_eq!(share.server.as_ref().map(Server::holds), Some(3));
    // Its number and its tag are used again before the server knows.
    assert_eq!(share.ask(walk(1, 3, b"file")), None);
    assert_eq!(share.server.as_ref().map(Server::holds), Some(3));
}

#[test]
fn what_writes_or_is_being_used_is_closed_when_the_server_says_so() {
    let mut share = Share::new(None);
    assert_eq!(unheard(&mut share, clunk(1, 2)), None);
    share.read();
    assert_eq!(share.ask(walk(1, 3, b"file")), None);
    assert_eq!(unheard(&mut share, look(3)), Some(None));
    assert_eq!(unheard(&mut share, look(3)), None);
    assert_eq!(unheard(&mut share, clunk(2, 3)), None, "somebody looks at it");
    assert_eq!(share.read().len(), 2);
}

#[test]
fn a_clone_is_there_at_once_and_after_the_server_died() {
    let mut share = Share::new(None);
    assert_eq!(unheard(&mut share, clone(1, 3)), Some(None));
    assert_eq!(unheard(&mut share, clone(3, 4)), Some(None));
    share.kill();
    share.start();
    assert_eq!(share.ask(walk(4, 5, b"file")), None);
    assert_eq!(share.ask(walk(3, 6, b"file")), None);
    assert_eq!(share.ask(write(1, b"on")), None);
}

#[test]
fn a_clone_that_was_refused_is_refused_with_its_reason() {
    let mut share = Share::new(None);
    share.say(clone(1, 3));
    assert_eq!(share.bridge.to_kernel.length(), 9);
    share.bridge.to_kernel.clear();
    let sent: Vec<u8> = share.bridge.to_server.parts().flatten().copied().collect();
    share.bridge.to_server.clear();
    let refusal = wire::refusal(wire::tag(&sent), libc::ENFILE);
    share.bridge.server_sent(&refusal, share.now);
    assert_eq!(share.bridge.to_kernel.length(), 0);
    assert_eq!(share.ask(walk(3, 4, b"file")), Some(libc::ENFILE));
    assert_eq!(share.ask(clunk(1, 3)), None);
}

#[test]
fn what_a_dead_server_was_asked_ahead_is_not_asked_again() {
    let mut share = Share::new(None);
    assert_eq!(share.ask(walk(1, 3, b"file")), None);
    assert_eq!(unheard(&mut share, clunk(1, 3)), Some(None));
    assert_eq!(unheard(&mut share, walk(1, 3, b"file")), None);
    share.kill();
    share.start();
    assert_eq!(share.read(), [(wire::TWALK + 1, 1, None)]);
    assert_eq!(share.server.as_ref().map(Server::holds), Some(3));
}

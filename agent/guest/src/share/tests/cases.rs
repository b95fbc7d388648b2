//! One case each, with a server that means well.

use std::time::Duration;

use super::disk::Node;
use super::mount::{Share, clunk, write};
use super::server::Server;
use crate::share::hello::greeting;
use crate::share::notices::Mtime;
use crate::share::wire::{self, Message};

const SOON: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_hard_share_waits() {
    let mut share = Share::new(None);
    share.kill();
    share.say(write(5, b"late"));
    share.wait(LONG * 1000);
    assert_eq!(share.read(), []);
    share.start();
    assert_eq!(share.read(), [(wire::TWRITE + 1, 5, None)]);
    assert_eq!(*share.file(), Node::File(b"late".to_vec()));
}

#[test]
fn a_soft_share_fails_in_time_and_comes_back() {
    let mut share = Share::new(Some(LONG));
    share.kill();
    share.say(write(5, b"lost"));
    share.wait(LONG - SOON);
    assert_eq!(share.read(), []);
    share.wait(SOON);
    assert_eq!(share.read(), [(wire::RLERROR, 5, Some(libc::EIO))]);
    assert_eq!(share.ask(write(5, b"lost too")), Some(libc::EIO), "at once");
    share.start();
    assert_eq!(share.read(), []);
    assert_eq!(share.ask(write(5, b"ok")), None);
    assert_eq!(*share.file(), Node::File(b"ok".to_vec()));
}

#[test]
fn a_server_that_never_gets_through_a_restore_is_away() {
    let mut share = Share::new(Some(LONG));
    share.kill();
    for _ in 0..10 {
        share.wait(LONG / 10);
        share.start();
        share.kill();
    }
    assert_eq!(share.ask(write(5, b"lost")), Some(libc::EIO));
}

#[test]
fn what_only_a_dead_server_knew_is_let_go_of_without_one() {
    let mut share = Share::new(None);
    share.kill();
    share.say(write(5, b"data"));
    share.say(clunk(6, 2));
    assert_eq!(share.read(), [], "not before the write");
    assert_eq!(share.ask(clunk(7, 1)), None);
    share.start();
    assert_eq!(share.read().len(), 2);
    assert_eq!(share.server.as_ref().map(Server::holds), Some(0));
}

#[test]
fn a_flush_takes_back_what_no_server_has_seen() {
    let mut share = Share::new(None);
    share.kill();
    let make = |name: &[u8]| Message::new(wire::TMKDIR, 5).u32(1).string(name).u32(0).u32(0);
    share.say(make(b"a"));
    share.say(Message::new(wire::TFLUSH, 6).u16(5));
    assert_eq!(share.read(), [(wire::TFLUSH + 1, 6, None)]);
    share.start();
    assert_eq!(share.read(), []);
    // What a server may have done is told as done, and the flush behind it.
    share.say(make(b"b"));
    share.kill();
    share.say(Message::new(wire::TFLUSH, 6).u16(5));
    assert_eq!(share.read(), []);
    share.start();
    assert_eq!(
        share.read(),
        [(wire::TMKDIR + 1, 5, None), (wire::TFLUSH + 1, 6, None)]
    );
    assert_eq!(
        (share.disk.lookup(1, b"a"), share.disk.lookup(1, b"b").is_some()),
        (None, true)
    );
}

#[test]
fn a_file_that_has_gone_is_stale_and_the_others_go_on() {
    let mut share = Share::new(None);
    assert_eq!(share.ask(Message::new(wire::TWALK, 1).u32(1).u32(3).u16(0)), None);
    assert_eq!(
        share.ask(
            Message::new(wire::TLCREATE, 1)
                .u32(3)
                .string(b"other")
                .u32(2)
                .u32(0)
                .u32(0)
        ),
        None
    );
    // Replaced on the host: it must not go on as another file.
    let replaced = share.disk.lookup(1, b"other").unwrap();
    share.disk.names(1).insert(b"file".to_vec(), replaced);
    share.kill();
    share.start();
    assert_eq!(share.ask(write(5, b"lost")), Some(libc::ESTALE));
    assert_eq!(share.ask(Message::new(wire::TREAD, 1).u32(3).u64(0).u32(9)), None);
    assert_eq!(share.ask(clunk(1, 2)), None);
    assert_eq!(
        share.ask(Message::new(wire::TWALK, 1).u32(1).u32(2).u16(1).string(b"file")),
        None
    );
}

#[test]
fn an_unlinked_file_lives_as_long_as_its_server() {
    let mut share = Share::new(None);
    assert_eq!(
        share.ask(Message::new(wire::TUNLINKAT, 1).u32(1).string(b"file").u32(0)),
        None
    );
    assert_eq!(share.ask(write(1, b"still")), None);
    // Another of that name is not it.
    assert_eq!(
        share.ask(Message::new(wire::TMKDIR, 1).u32(1).string(b"file").u32(0).u32(0)),
        None
    );
    share.kill();
    share.start();
    assert_eq!(share.ask(write(1, b"gone")), Some(libc::ESTALE));
    assert_eq!(share.ask(clunk(1, 2)), None);
}

#[test]
fn an_attribute_in_the_making_is_made_once_whole() {
    let mut share = Share::new(None);
    assert_eq!(share.ask(Message::new(wire::TWALK, 1).u32(2).u32(3).u16(0)), None);
    assert_eq!(
        share.ask(
            Message::new(wire::TXATTRCREATE, 1)
                .u32(3)
                .string(b"user.a")
                .u64(9000)
                .u32(0)
        ),
        None
    );
    let half = vec![b'x'; 4500];
    for offset in [0, 4500] {
        share.kill();
        share.start();
        assert_eq!(
            share.ask(Message::new(wire::TWRITE, 1).u32(3).u64(offset).data(&half)),
            None
        );
    }
    share.say(clunk(1, 3));
    share.kill();
    assert_eq!(share.read(), [], "nobody else can set it");
    share.start();
    assert_eq!(share.read(), [(wire::TCLUNK + 1, 1, None)]);
    let inode = share.disk.lookup(1, b"file").unwrap();
    assert_eq!(
        share.disk.attributes[&(inode, b"user.a".to_vec())],
        vec![b'x'; 9000]
    );
}

#[test]
fn a_lock_that_another_got_meanwhile_is_told_as_lost() {
    let mut share = Share::new(None);
    let lock = Message::new(wire::TLOCK, 1)
        .u32(2)
        .u8(1)
        .u32(0)
        .u64(0)
        .u64(0)
        .u32(77)
        .string(b"vm");
    assert_eq!(share.ask(lock), None);
    share.kill();
    let inode = share.disk.lookup(1, b"file").unwrap();
    share.bridge.connected(share.now);
    let (mut server, hello) = Server::start(&mut share.disk);
    server.locks.insert(inode, 99);
    share.server = Some(server);
    share.bridge.server_sent(&hello, share.now);
    assert_eq!(share.read(), []);
    assert_eq!(share.ask(write(1, b"not mine")), Some(libc::ESTALE));
}

#[test]
fn a_mount_that_ends_waits_for_nobody() {
    let mut share = Share::new(None);
    share.kill();
    share.say(write(5, b"lost"));
    share.bridge.end(SOON);
    share.wait(SOON);
    assert_eq!(share.read(), [(wire::RLERROR, 5, Some(libc::EIO))]);
    assert_eq!(share.ask(clunk(1, 2)), None);
    // A server that is there and hangs is waited for as little.
    share.start();
    share.read();
    share.server = None;
    share.say(write(5, b"lost"));
    share.wait(SOON);
    assert_eq!(share.read(), [(wire::RLERROR, 5, Some(libc::EIO))]);
}

#[test]
fn what_the_host_changes_is_taken_whenever_it_is_told() {
    let mut share = Share::new(None);
    share.bridge.notices.want();
    let tell = |share: &mut Share, path: &[u8]| {
        let notice = Message::new(wire::NOTICE, wire::NO_TAG).string(path).done();
        share.bridge.server_sent(&notice, share.now);
    };
    tell(&mut share, b"dir/served");
    share.kill();
    share.start();
    // The answer to the new session's Tversion is still to come, and has the same tag.
    tell(&mut share, b"restored");
    assert_eq!(share.read(), []);
    assert_eq!(share.ask(write(1, b"on")), None);
    let told: Vec<_> = std::iter::from_fn(|| share.bridge.notices.next()).collect();
    assert_eq!(told, [&b"dir/served"[..], b"restored"].map(Box::from));
}

#[test]
fn a_server_is_told_whether_changes_are_wanted_and_sees_no_touch() {
    let mut share = Share::new(None);
    share.kill();
    share.bridge.connected(share.now);
    share.bridge.server_sent(&greeting(1), share.now);
    let flags = |share: &Share| share.bridge.to_server.parts().next().map(|answer| answer[28]);
    assert_eq!(flags(&share), Some(1));
    share.bridge.notices.want();
    share.kill();
    share.bridge.connected(share.now);
    share.bridge.server_sent(&greeting(2), share.now);
    assert_eq!(flags(&share), Some(3));
    share.kill();
    share.bridge.notices.expect(Mtime {
        seconds: 7,
        nanoseconds: 9,
    });
    let set = |seconds| {
        let message = Message::new(wire::TSETATTR, 5).u32(2).u32(0x160);
        let message = message.u32(0).u32(0).u32(0).u64(0).u64(0).u64(0);
        message.u64(seconds).u64(9)
    };
    share.say(set(8));
    share.say(set(7));
    assert_eq!(
        share.read(),
        [(wire::TSETATTR + 1, 5, None)],
        "without any server"
    );
    share.bridge.notices.expect_none();
    share.say(set(7));
    assert_eq!(share.read(), []);
}

#[test]
fn a_hello_that_one_read_gives_with_what_the_last_server_left_is_heard() {
    let mut share = Share::new(None);
    share.say(write(5, b"data"));
    share.bridge.to_server.clear();
    let (server, hello) = Server::start(&mut share.disk);
    share.server = Some(server);
    let left = [11, 0, 0, 0, wire::TWRITE + 1];
    share.bridge.server_sent(&[&left[..], &hello].concat(), share.now);
    share.wait(SOON * 100);
    assert_eq!(share.read(), [(wire::TWRITE + 1, 5, None)]);
    assert_eq!(*share.file(), Node::File(b"data".to_vec()));
}

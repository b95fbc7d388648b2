//! A mount on a server that can be taken away.

use std::time::{Duration, Instant};

use super::disk::{Disk, Node};
use super::server::Server;
use crate::share::bridge::Bridge;
use crate::share::wire::{self, Message};

pub struct Share {
    pub bridge: Bridge,
    pub disk: Disk,
    pub server: Option<Server>,
    pub now: Instant,
}

impl Share {
    /// With `directory` as fid 1, and in it the open file "file" as fid 2.
    pub fn new(patience: Option<Duration>) -> Self {
        let now = Instant::now();
        let (bridge, disk) = (Bridge::new(patience, now), Disk::default());
        let mut share = Self {
            bridge,
            disk,
            server: None,
            now,
        };
        share.start();
        share.ask(
            Message::new(wire::TVERSION, wire::NO_TAG)
                .u32(wire::MSIZE)
                .string(wire::VERSION),
        );
        share.ask(
            Message::new(wire::TATTACH, 0)
                .u32(1)
                .u32(u32::MAX)
                .string(b"")
                .string(b"")
                .u32(0),
        );
        share.ask(Message::new(wire::TWALK, 0).u32(1).u32(2).u16(0));
        share.ask(
            Message::new(wire::TLCREATE, 0)
                .u32(2)
                .string(b"file")
                .u32(0o302)
                .u32(0o644)
                .u32(0),
        );
        share
    }

    pub fn start(&mut self) {
        self.bridge.connected(self.now);
        let (server, hello) = Server::start(&mut self.disk);
        self.server = Some(server);
        self.bridge.server_sent(&hello, self.now);
    }

    pub fn kill(&mut self) {
        self.server = None;
        self.bridge.gone(self.now);
    }

    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        self.bridge.tick(self.now);
    }

    pub fn say(&mut self, message: Message) {
        assert_eq!(self.bridge.kernel_wrote(&message.done(), self.now), Ok(()));
    }

    /// What the kernel gets: kind, tag and errno of each.
    pub fn read(&mut self) -> Vec<(u8, u16, Option<i32>)> {
        while let Some(server) = &mut self.server {
            let bytes: Vec<u8> = self.bridge.to_server.parts().flatten().copied().collect();
            self.bridge.to_server.clear();
            if bytes.is_empty() {
                break;
            }
            for answer in server.feed(&bytes, &mut self.disk).expect("the session goes on") {
                self.bridge.server_sent(&answer, self.now);
            }
        }
        let messages: Vec<Vec<u8>> = self.bridge.to_kernel.parts().map(<[u8]>::to_vec).collect();
        self.bridge.to_kernel.clear();
        messages
            .iter()
            .map(|message| (wire::kind(message), wire::tag(message), wire::errno(message)))
            .collect()
    }

    pub fn ask(&mut self, message: Message) -> Option<i32> {
        self.say(message);
        let answers = self.read();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers[0].2
    }

    pub fn file(&self) -> &Node {
        &self.disk.nodes[&self.disk.lookup(1, b"file").expect("it is there")]
    }
}

pub fn write(tag: u16, data: &[u8]) -> Message {
    Message::new(wire::TWRITE, tag).u32(2).u64(0).data(data)
}

pub fn clunk(tag: u16, fid: u32) -> Message {
    Message::new(wire::TCLUNK, tag).u32(fid)
}

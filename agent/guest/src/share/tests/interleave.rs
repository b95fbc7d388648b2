//! Random interleavings: bytes in pieces, servers killed anywhere, hang-ups seen and unseen. No operation is lost, none
//! is done twice.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Dice;
use super::client::Process;
use super::disk::{Disk, Node};
use super::server::Server;
use crate::share::bridge::Bridge;
use crate::share::wire::{self, Message};

const PROCESSES: u16 = 5;
/// Who renames the others' directories.
const ADMIN: u16 = 50;

struct World {
    dice: Dice,
    now: Instant,
    bridge: Bridge,
    disk: Disk,
    server: Option<Server>,
    /// What servers have written and the guest has not read: one write of one of them each.
    wire: VecDeque<Vec<u8>>,
    processes: Vec<Process>,
    /// Which process's directory is being renamed.
    renaming: Option<usize>,
    renamed: [bool; PROCESSES as usize],
    kills: usize,
    /// Servers die once in so many steps.
    one_in: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let mut world = Self {
            dice: Dice::new(seed),
            now,
            bridge: Bridge::new(None, now),
            disk: Disk::default(),
            server: None,
            wire: VecDeque::new(),
            processes: (0..PROCESSES).map(Process::new).collect(),
            renaming: None,
            renamed: Default::default(),
            kills: 0,
            one_in: [40, 100, 300, 1000][seed as usize % 4],
        };
        world.bridge.connected(now);
        world.start_server();
        let version = Message::new(wire::TVERSION, wire::NO_TAG)
            .u32(wire::MSIZE)
            .string(wire::VERSION);
        let attach = Message::new(wire::TATTACH, 1)
            .u32(0)
            .u32(u32::MAX)
            .string(b"")
            .string(b"")
            .u32(0);
        let mut set_up = vec![version.done(), attach.done()];
        set_up.extend(world.processes.iter().flat_map(Process::set_up));
        for message in set_up {
            world.ask(&message);
            let answers = world.settle();
            assert_eq!(wire::errno(&answers[0]), None);
        }
        world
    }

    fn start_server(&mut self) {
        let (server, hello) = Server::start(&mut self.disk);
        self.server = Some(server);
        self.wire.push_back(hello);
    }

    fn ask(&mut self, message: &Bytes) {
        let cut = self.dice.roll(message.len());
        for part in [&message[..cut], &message[cut..]] {
            assert_eq!(self.bridge.kernel_wrote(part, self.now), Ok(()));
        }
    }

    /// What the kernel reads: whole messages.
    fn read(&mut self) -> Vec<Vec<u8>> {
        let bytes: Vec<u8> = self.bridge.to_kernel.parts().flatten().copied().collect();
        self.bridge.to_kernel.clear();
        let (mut rest, mut messages) = (&bytes[..], Vec::new());
        while let Some(length) = wire::length(rest) {
            messages.push(rest[..length].to_vec());
            rest = &rest[length..];
        }
        messages
    }

    /// Some bytes go to the server.
    fn deliver(&mut self) -> bool {
        let bytes: Vec<u8> = self.bridge.to_server.parts().flatten().copied().collect();
        let (Some(server), false) = (&mut self.server, bytes.is_empty()) else {
            return false;
        };
        let count = 1 + self.dice.roll(bytes.len());
        self.bridge.to_server.advance(count);
        match server.feed(&bytes[..count], &mut self.disk) {
            Some(answers) => self.wire.extend(answers),
            None => self.kill(true),
        }
        true
    }

    /// The guest reads what one write gave, or some of it, or what several did.
    fn receive(&mut self) -> bool {
        let Some(mut chunk) = self.wire.pop_front() else {
            return false;
        };
        let is_hello = chunk.starts_with(&[0xff; 4]);
        let count = if is_hello {
            chunk.len()
        } else {
            1 + self.dice.roll(chunk.len())
        };
        if count < chunk.len() {
            self.wire.push_front(chunk.split_off(count));
        } else {
            // A port of kiln's kernel gives all that is there.
            while self.dice.roll(2) == 0
                && let Some(next) = self.wire.pop_front()
            {
                chunk.extend(next);
            }
        }
        self.bridge.server_sent(&chunk, self.now);
        true
    }

    /// The server ends here and now, and another begins. Of what it has written some is still read.
    fn kill(&mut self, hang_up: bool) {
        self.kills += 1;
        let kept = self.dice.roll(self.wire.len() + 1);
        self.wire.truncate(kept);
        if let Some(last) = self.wire.back_mut()
            && !last.starts_with(&[0xff; 4])
        {
            let length = 1 + self.dice.roll(last.len());
            last.truncate(length);
        }
        // Bytes on their way are lost, in mid-message.
        let lost = self.dice.roll(self.bridge.to_server.length() + 1);
        self.bridge.to_server.advance(lost);
        if hang_up {
            while self.receive() {}
            self.bridge.gone(self.now);
            self.now += Duration::from_millis(self.dice.roll(100) as u64);
            self.bridge.connected(self.now);
        }
        self.start_server();
    }

    /// Time passes until something happens.
    fn wait(&mut self) {
        let next = self
            .bridge
            .next_tick()
            .expect("a stream that stands still is waited for");
        self.now = self.now.max(next);
        self.bridge.tick(self.now);
    }

    /// Everything goes on until nothing moves; gives what the kernel has read.
    fn settle(&mut self) -> Vec<Vec<u8>> {
        let mut read = Vec::new();
        loop {
            let moved = self.deliver() | self.receive();
            read.extend(self.read());
            if !moved {
                match self.bridge.next_tick() {
                    Some(_) => self.wait(),
                    None => return read,
                }
            }
        }
    }

    fn take_answers(&mut self, answers: Vec<Vec<u8>>) {
        for answer in answers {
            let tag = wire::tag(&answer);
            if tag == ADMIN {
                assert_eq!(wire::errno(&answer), None, "a directory could not be renamed");
                let index = self.renaming.take().expect("it was asked for");
                self.renamed[index] = !self.renamed[index];
                continue;
            }
            let next = self.processes[usize::from(tag % 1000)].answer(&answer);
            if let Some(next) = next {
                self.ask(&next);
            }
        }
    }

    fn act(&mut self) {
        let index = self.dice.roll(self.processes.len());
        if self.renaming.is_none() && self.dice.roll(20) == 0 {
            self.renaming = Some(index);
            let name = |renamed| self.processes[index].directory(renamed);
            let (old, new) = (name(self.renamed[index]), name(!self.renamed[index]));
            let rename = Message::new(wire::TRENAMEAT, ADMIN)
                .u32(0)
                .string(&old)
                .u32(0)
                .string(&new)
                .done();
            return self.ask(&rename);
        }
        let process = &mut self.processes[index];
        let asked = if process.is_idle() {
            Some(process.begin(&mut self.dice))
        } else if self.dice.roll(10) == 0 {
            process.interrupt()
        } else {
            None
        };
        if let Some(message) = asked {
            self.ask(&message);
        }
    }

    fn step(&mut self) {
        if self.dice.roll(self.one_in) == 0 {
            let hang_up = self.dice.roll(3) > 0;
            self.kill(hang_up);
        }
        match self.dice.roll(40) {
            0..=12 => drop(self.deliver()),
            13..=24 => drop(self.receive()),
            25 => {
                if self.bridge.next_tick().is_some_and(|_| self.wire.is_empty()) {
                    self.wait();
                }
            }
            _ => self.act(),
        }
        let answers = self.read();
        self.take_answers(answers);
    }

    /// All that was under way comes to its end.
    fn finish(&mut self) {
        loop {
            let answers = self.settle();
            if answers.is_empty() {
                break;
            }
            self.take_answers(answers);
        }
        assert!(
            self.processes.iter().all(Process::is_idle),
            "something was never answered"
        );
        assert!(self.server.as_ref().is_some_and(Server::is_live));
        self.compare();
    }

    fn compare(&self) {
        let server = self.server.as_ref().expect("one is there");
        for (process, renamed) in self.processes.iter().zip(self.renamed) {
            let directory = self
                .disk
                .lookup(1, &process.directory(renamed))
                .expect("its directory is there");
            let Some(Node::Directory(names)) = self.disk.nodes.get(&directory) else {
                panic!("no directory");
            };
            assert!(names.keys().eq(process.files.keys()), "names are lost or doubled");
            for (name, inode) in names {
                match (&self.disk.nodes[inode], &process.files[name]) {
                    (Node::File(have), Some(want)) => assert_eq!(have, want, "data are lost or doubled"),
                    (Node::Directory(_), None) => {}
                    other => panic!("{other:?}"),
                }
            }
            let locked = process
                .open
                .as_ref()
                .is_some_and(|file| server.locks.contains_key(&names[file]));
            assert_eq!(locked, process.locked, "a lock is lost or left");
        }
    }
}

fn run(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed);
    for _ in 0..4000 {
        world.step();
    }
    world.finish();
    (
        world.kills,
        world.processes.iter().map(|process| process.done).sum(),
    )
}

/// Says which seed it was when a test breaks off.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("KILN_SEED={}", self.0);
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_wherever_servers_die() {
    let given = std::env::var("KILN_SEED").ok().and_then(|text| text.parse().ok());
    let (mut kills, mut done) = (0, 0);
    let own = u64::from(std::process::id());
    for seed in given.map_or_else(|| (0..40).chain([own]).collect(), |seed| vec![seed]) {
        let _told = Told(seed);
        let counts = run(seed);
        kills += counts.0;
        done += counts.1;
    }

    assert!(kills > 10 && done > 100, "{kills} kills, {done} operations");
}

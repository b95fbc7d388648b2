//! Requests without an answer, in the order in which they came.

use std::collections::{BTreeMap, HashMap};

use super::request::Request;
use super::wire;

/// The bridge's tags: no more than a server's ledger has slots for. What the bridge asks for itself comes behind.
pub const TAGS: u16 = 4000;
/// A kernel that has more under way waits.
const MOST_BYTES: usize = 16 << 20;

/// Requests have the bridge's own tags: an answer that comes after its request was given up meets no other.
#[derive(Default)]
pub struct Pending {
    by_number: BTreeMap<u64, Request>,
    by_wire: HashMap<u16, u64>,
    by_kernel: HashMap<u16, u64>,
    bytes: usize,
    last: u64,
    /// Tags below `used` that are free.
    free: Vec<u16>,
    used: u16,
}

impl Pending {
    /// For a request that is added next; None where `is_full`.
    pub fn fresh_tag(&mut self) -> Option<u16> {
        self.free.pop().or_else(|| {
            let tag = self.used;
            self.used = (tag + 1).min(TAGS);
            (tag < TAGS).then_some(tag)
        })
    }

    /// `request.bytes` have a tag of `fresh_tag`, or none (Tversion).
    pub fn add(&mut self, request: Request) -> u64 {
        self.last += 1;
        let number = self.last;
        self.by_wire.insert(wire::tag(&request.bytes), number);
        self.put_back(number, request);
        number
    }

    pub fn is_full(&self) -> bool {
        (self.free.is_empty() && self.used >= TAGS) || self.bytes >= MOST_BYTES
    }

    pub fn get(&self, number: u64) -> Option<&Request> {
        self.by_number.get(&number)
    }

    pub fn get_mut(&mut self, number: u64) -> Option<&mut Request> {
        self.by_number.get_mut(&number)
    }

    pub fn by_wire(&self, tag: u16) -> Option<u64> {
        self.by_wire.get(&tag).copied()
    }

    pub fn by_kernel(&self, tag: u16) -> Option<u64> {
        self.by_kernel.get(&tag).copied()
    }

    /// Its tag is free again.
    pub fn remove(&mut self, number: u64) -> Option<Request> {
        let request = self.abandon(number)?;
        self.free_tag(wire::tag(&request.bytes));
        Some(request)
    }

    /// Its server may still answer: the tag is not used again before `lose_server`.
    pub fn abandon(&mut self, number: u64) -> Option<Request> {
        let request = self.by_number.remove(&number)?;
        if !request.is_ahead() {
            self.by_kernel.remove(&request.tag);
        }
        self.bytes -= request.bytes.len();
        Some(request)
    }

    /// What was abandoned is not done after all.
    pub fn put_back(&mut self, number: u64, request: Request) {
        if !request.is_ahead() {
            self.by_kernel.insert(request.tag, number);
        }
        self.bytes += request.bytes.len();
        self.by_number.insert(number, request);
    }

    /// Nothing that was done ahead is done again.
    pub fn abandon_ahead(&mut self) {
        let ahead = |(number, request): (u64, &Request)| request.is_ahead().then_some(number);
        for number in self.iter().filter_map(ahead).collect::<Vec<_>>() {
            self.abandon(number);
        }
    }

    pub fn free_tag(&mut self, tag: u16) {
        if self.by_wire.remove(&tag).is_some() && tag < TAGS {
            self.free.push(tag);
        }
    }

    /// No answers come any more to what was abandoned.
    pub fn lose_server(&mut self) {
        let answered = |(tag, number): (&u16, &u64)| (!self.by_number.contains_key(number)).then_some(*tag);
        let tags: Vec<u16> = self.by_wire.iter().filter_map(answered).collect();
        for tag in tags {
            self.free_tag(tag);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &Request)> {
        self.by_number.iter().map(|(&number, request)| (number, request))
    }

    pub fn numbers(&self) -> Vec<u64> {
        self.by_number.keys().copied().collect()
    }

    /// True where another than `except` is about the fid.
    pub fn touches(&self, fid: u32, except: Option<u64>) -> bool {
        self.iter()
            .any(|(number, request)| Some(number) != except && request.touched.contains(&Some(fid)))
    }
}

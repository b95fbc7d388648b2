//! The bridge between a model of the kernel's client and a model server, with the server killed at any byte.

mod ahead;
mod cases;
mod client;
mod disk;
mod hostile;
mod interleave;
mod mount;
mod pump;
mod server;

/// Numbers that a seed repeats (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of 0..sides.
    pub const fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % sides
    }
}

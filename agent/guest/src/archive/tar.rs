//! The tar format (POSIX ustar with PAX, and GNU's long names): headers to values and back. Knows no file system.

use std::io::{self, Read};

use super::entry::{Entry, Kind, bad};
use super::pax;

pub const BLOCK: usize = 512;
/// Longest name, and longest set of PAX records, that is taken: several times what any file system holds.
const MAX_NAME: u64 = 64 << 10;
const MAX_PAX: u64 = 1 << 20;
/// All that stands before one entry, headers counted in.
const MAX_EXTENSIONS: u64 = 2 * MAX_PAX;

impl Entry {
    /// The header blocks: PAX records first where ustar cannot hold a value.
    pub fn encode(&self) -> Vec<u8> {
        let records = pax::records_for(self);
        let mut blocks = Vec::with_capacity(BLOCK);
        if !records.is_empty() {
            let extra = Self {
                size: records.len() as u64,
                ..Self::new(b"PaxHeaders/entry".to_vec(), Kind::File)
            };
            blocks.extend(extra.ustar(b'x'));
            blocks.extend(&records);
            blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        }
        blocks.extend(self.ustar(self.kind.flag()));
        blocks
    }

    /// What ustar can hold of it; the rest is in the PAX records.
    fn ustar(&self, flag: u8) -> [u8; BLOCK] {
        let mut header = [0; BLOCK];
        let mut text = |at: usize, length: usize, value: &[u8]| {
            let count = value.len().min(length);
            header[at..at + count].copy_from_slice(&value[..count]);
        };
        text(0, 100, &self.path);
        text(157, 100, &self.link);
        text(257, 8, b"ustar\x0000");
        let seconds = u64::try_from(self.mtime_ns.div_euclid(1_000_000_000)).unwrap_or(0);
        for (at, length, value) in [
            (100, 8, u64::from(self.mode & 0o7777)),
            (108, 8, u64::from(self.uid)),
            (116, 8, u64::from(self.gid)),
            (124, 12, self.size),
            (136, 12, seconds),
            (329, 8, u64::from(self.device.0)),
            (337, 8, u64::from(self.device.1)),
        ] {
            let digits = length - 1;
            let most = (1_u64 << (3 * digits)) - 1;
            text(at, length, format!("{:0digits$o}", value.min(most)).as_bytes());
        }
        header[156] = flag;
        let sum = checksum(&header);
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }
}

/// Two blocks of zeros end an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The sum over the header, with spaces in place of the sum itself.
fn checksum(header: &[u8; BLOCK]) -> u64 {
    let field = 148..156;
    header
        .iter()
        .enumerate()
        .map(|(at, &byte)| if field.contains(&at) { 32 } else { u64::from(byte) })
        .sum()
}

/// Reads entries one after the other.
pub struct Reader<R> {
    input: R,
    /// Of the current entry: data not read yet, and the padding behind it.
    left: u64,
    padding: u64,
}

impl<R: Read> Reader<R> {
    pub const fn new(input: R) -> Self {
        Self {
            input,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry; None at the end. What is left of the data of the one before is skipped.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut overrides = pax::Overrides::default();
        let mut extended = 0;
        loop {
            self.skip()?;
            let mut header = [0; BLOCK];
            if !self.read_header(&mut header)? {
                return Ok(None);
            }
            let flag = header[156];
            let size = number(&header[124..136])?;
            let size = u64::try_from(size).map_err(|_| bad("a negative size"))?;
            // A longer one is refused for itself.
            if matches!(flag, b'L' | b'K' | b'x' | b'g') && size <= MAX_PAX {
                extended += size.saturating_add(BLOCK as u64);
                if extended > MAX_EXTENSIONS {
                    return Err(bad("an entry has too many extended headers"));
                }
            }
            match flag {
                b'L' => overrides.path = Some(trim_nul(self.small(size, MAX_NAME)?)),
                b'K' => overrides.link = Some(trim_nul(self.small(size, MAX_NAME)?)),
                b'x' => overrides.read(&self.small(size, MAX_PAX)?)?,
                // Comments for the whole archive; nobody puts paths there.
                b'g' => drop(self.small(size, MAX_PAX)?),
                _ => {
                    let mut entry = parse(&header, flag, size)?;
                    overrides.apply(&mut entry)?;
                    // An old way to write a directory. (Not by the header's own name: that may be cut at a slash.)
                    if entry.kind == Kind::File && entry.path.ends_with(b"/") {
                        entry.kind = Kind::Directory;
                    }
                    // Links of some writers carry the size of what they point to, without the data.
                    if entry.kind != Kind::File {
                        entry.size = 0;
                    }
                    self.left = entry.size;
                    self.padding = padding(entry.size);
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// Data of the current entry; 0 at its end.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if want == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..want])?;
        if count == 0 {
            return Err(bad("it ends inside a file"));
        }
        self.left -= count as u64;
        Ok(count)
    }

    fn skip(&mut self) -> io::Result<()> {
        let rest = self.left + self.padding;
        let skipped = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if skipped == rest {
            Ok(())
        } else {
            Err(bad("it ends inside a file"))
        }
    }

    /// False at the end: a block of zeros, or nothing more.
    fn read_header(&mut self, header: &mut [u8; BLOCK]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut header[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(bad("it ends inside a header")),
                count => filled += count,
            }
        }
        Ok(header.iter().any(|&byte| byte != 0))
    }

    fn small(&mut self, size: u64, most: u64) -> io::Result<Vec<u8>> {
        if size > most {
            return Err(bad("a name or a set of attributes is too long"));
        }
        let mut bytes = vec![0; size as usize];
        self.input.read_exact(&mut bytes)?;
        self.padding = padding(size);
        Ok(bytes)
    }
}

const fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn parse(header: &[u8; BLOCK], flag: u8, size: u64) -> io::Result<Entry> {
    if number(&header[148..156])? != i128::from(checksum(header)) {
        return Err(bad("a header's checksum is wrong"));
    }
    let kind = Kind::of_flag(flag).ok_or_else(|| {
        bad(&format!(
            "entries of type '{}' are not supported",
            flag.escape_ascii()
        ))
    })?;
    let mut path = trim_nul(header[..100].to_vec());
    if &header[257..263] == b"ustar\0" && header[345] != 0 {
        path = [trim_nul(header[345..500].to_vec()), path].join(&b'/');
    }
    let small =
        |field: &[u8]| number(field).and_then(|value| u32::try_from(value).map_err(|_| bad("a bad number")));
    let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
    Ok(Entry {
        link: trim_nul(header[157..257].to_vec()),
        mode: small(&header[100..108])? & 0o7777,
        uid: small(&header[108..116])?,
        gid: small(&header[116..124])?,
        size,
        mtime_ns: number(&header[136..148])?.saturating_mul(1_000_000_000),
        device: if device {
            (small(&header[329..337])?, small(&header[337..345])?)
        } else {
            (0, 0)
        },
        ..Entry::new(path, kind)
    })
}

/// Octal digits, or GNU's big-endian binary.
fn number(field: &[u8]) -> io::Result<i128> {
    let (&first, rest) = field.split_first().ok_or_else(|| bad("a bad number"))?;
    if first & 0x80 != 0 {
        // Two's complement in what the top bit leaves; ten bytes of it are beyond any value.
        let start = if first & 0x40 != 0 { -1 } else { 0 };
        let head = i128::from(first & 0x3f) | start << 6;
        return Ok(rest
            .iter()
            .fold(head, |value, &byte| value << 8 | i128::from(byte)));
    }
    let digits = trim_nul(field.to_vec());
    let text = digits.trim_ascii();
    text.iter().try_fold(0, |value: i128, &digit| match digit {
        b'0'..=b'7' => Ok(value << 3 | i128::from(digit - b'0')),
        _ => Err(bad("a bad number")),
    })
}

fn trim_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

#[cfg(test)]
mod tests;

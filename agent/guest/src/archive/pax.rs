//! PAX records: "LENGTH KEY=VALUE\n", for what ustar's fields cannot hold.

use std::io;

use super::entry::{Entry, bad};

const XATTR: &[u8] = b"SCHILY.xattr.";
const NS: i128 = 1_000_000_000;
/// Largest value of seven octal digits.
const MAX_ID: u32 = 0o7_777_777;
const MAX_SIZE: u64 = 0o77_777_777_777;

/// The records that an entry needs; empty where ustar holds it all.
pub fn records_for(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    for (key, value) in [("path", &entry.path), ("linkpath", &entry.link)] {
        if value.len() > 100 || !value.is_ascii() {
            push(&mut records, key.as_bytes(), value);
        }
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id > MAX_ID {
            push(&mut records, key.as_bytes(), id.to_string().as_bytes());
        }
    }
    if entry.size > MAX_SIZE {
        push(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    if entry.mtime_ns < 0 || entry.mtime_ns % NS != 0 {
        push(&mut records, b"mtime", format_time(entry.mtime_ns).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        push(&mut records, &[XATTR, name].concat(), value);
    }
    records
}

fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} ").as_bytes());
    records.extend([key, b"=", value, b"\n"].concat());
}

fn format_time(ns: i128) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:09}", ns.abs() / NS, ns.abs() % NS);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn parse_time(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 18 || !all_digits(whole) || !all_digits(part) {
        return None;
    }
    let part: String = part.chars().chain(std::iter::repeat('0')).take(9).collect();
    Some(sign * (whole.parse::<i128>().ok()? * NS + part.parse::<i128>().ok()?))
}

/// What comes before an entry and changes it.
#[derive(Default)]
pub struct Overrides {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    mtime_ns: Option<i128>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Overrides {
    pub fn read(&mut self, mut records: &[u8]) -> io::Result<()> {
        while !records.is_empty() {
            let (record, rest) = split_record(records).ok_or_else(|| bad("a bad attribute record"))?;
            records = rest;
            let at = record
                .iter()
                .position(|&byte| byte == b'=')
                .ok_or_else(|| bad("a bad attribute record"))?;
            self.set(&record[..at], &record[at + 1..])?;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let bad_value = || bad(&format!("a bad value of {}", key.escape_ascii()));
        let id = || {
            decimal(value)
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(bad_value)
        };
        match key {
            b"path" | b"linkpath" if value.contains(&0) => return Err(bad_value()),
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"uid" => self.uid = Some(id()?),
            b"gid" => self.gid = Some(id()?),
            b"size" => self.size = Some(decimal(value).ok_or_else(bad_value)?),
            b"mtime" => self.mtime_ns = Some(parse_time(value).ok_or_else(bad_value)?),
            _ if key.starts_with(b"GNU.sparse.") => return Err(bad("sparse entries are not supported")),
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }

    pub fn apply(self, entry: &mut Entry) -> io::Result<()> {
        entry.path = self.path.unwrap_or_else(|| std::mem::take(&mut entry.path));
        entry.link = self.link.unwrap_or_else(|| std::mem::take(&mut entry.link));
        entry.uid = self.uid.unwrap_or(entry.uid);
        entry.gid = self.gid.unwrap_or(entry.gid);
        entry.size = self.size.unwrap_or(entry.size);
        entry.mtime_ns = self.mtime_ns.unwrap_or(entry.mtime_ns);
        entry.xattrs = self.xattrs;
        Ok(())
    }
}

/// The first record without its length and newline, and what follows.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?;
    Some((record.strip_suffix(b"\n")?, &bytes[length..]))
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok()?.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_its_own_length() {
        for size in [0, 1, 90, 91, 92, 93, 988, 989, 990, 991, 992] {
            let mut records = Vec::new();
            push(&mut records, b"k", &vec![b'v'; size]);
            let (record, rest) = split_record(&records).unwrap();
            assert_eq!((record.len(), rest.len()), (size + 2, 0), "{size}");
        }
    }

    #[test]
    fn writes_and_reads_times_to_the_nanosecond() {
        for ns in [0, 1, -1, 1_500_000_000, -1_500_000_001, 999_999_999, -3 * NS] {
            assert_eq!(parse_time(format_time(ns).as_bytes()), Some(ns), "{ns}");
        }
        for bad in ["", ".", "-", "1e9", "1.x", "--1", "12345678901234567890"] {
            assert_eq!(parse_time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn refuses_broken_records() {
        for broken in [
            &b"5 a=b"[..],
            b"x a=b\n",
            b"99 a=b\n",
            b"6 ab\n\n",
            b"0 a=b\n",
            b"2 \n",
            b"7 uid=\n",
        ] {
            assert!(
                Overrides::default().read(broken).is_err(),
                "{}",
                broken.escape_ascii()
            );
        }
    }

    #[test]
    fn no_name_holds_a_nul() {
        let mut records = Vec::new();
        push(&mut records, b"path", b"a\0b");
        assert!(Overrides::default().read(&records).is_err());
    }
}

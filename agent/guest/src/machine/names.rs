//! The names of other VMs in /etc/hosts: lines between two marks, which the host tells anew whenever they change. What is
//! outside of the marks is the guest's own and stays.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::{etc_text, paths, written};
use crate::grpc::status::Result;
use crate::proto::HostEntry;

const BEGIN: &str = "# kiln: names on this VM's networks";
const END: &str = "# kiln: end of names";
/// A longer /etc/hosts is nobody's: it is left alone.
const LIMIT: u64 = 1 << 20;

/// The lines with their marks; empty where there are no names.
pub fn block(entries: &[HostEntry]) -> Result<String> {
    if entries.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("{BEGIN}\n{}{END}\n", etc_text::host_lines(entries)?))
}

/// `text` with `block` in the place of the last one, at its end where there was none.
fn with_block(text: &[u8], block: &str) -> Vec<u8> {
    let mut rest = Vec::with_capacity(text.len() + block.len());
    let mut skipped: Option<Vec<u8>> = None;
    let mut place = None;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let words = line.strip_suffix(b"\n").unwrap_or(line);
        match &mut skipped {
            None if words == BEGIN.as_bytes() => {
                place = place.or(Some(rest.len()));
                skipped = Some(Vec::new());
            }
            None => rest.extend_from_slice(line),
            Some(_) if words == END.as_bytes() => skipped = None,
            Some(kept) => kept.extend_from_slice(line),
        }
    }
    // Somebody has taken the second mark away: what came after the first may be theirs.
    rest.extend(skipped.unwrap_or_default());
    let at = place.unwrap_or(rest.len());
    let mut whole = rest[..at].to_vec();
    if !block.is_empty() && whole.last().is_some_and(|byte| *byte != b'\n') {
        whole.push(b'\n');
    }
    whole.extend_from_slice(block.as_bytes());
    whole.extend_from_slice(&rest[at..]);
    whole
}

/// What becomes of the text of /etc/hosts.
pub enum Change<'a> {
    /// Instead of the last block of `block`.
    Names(&'a str),
    /// The guest's own name has another address.
    Moved { from: IpAddr, to: IpAddr },
}

impl Change<'_> {
    fn of(&self, text: &[u8]) -> Vec<u8> {
        match self {
            Change::Names(block) => with_block(text, block),
            Change::Moved { from, to } => with_address(text, *from, *to),
        }
    }
}

/// `text` with another address in the first line of that one. Not among others' names, which come after.
fn with_address(text: &[u8], from: IpAddr, to: IpAddr) -> Vec<u8> {
    let from = format!("{from}\t").into_bytes();
    let mut after = Vec::with_capacity(text.len() + 40);
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    for line in &mut lines {
        if line.starts_with(BEGIN.as_bytes()) {
            after.extend_from_slice(line);
            break;
        }
        if let Some(names) = line.strip_prefix(from.as_slice()) {
            after.extend_from_slice(format!("{to}\t").as_bytes());
            after.extend_from_slice(names);
            break;
        }
        after.extend_from_slice(line);
    }
    for line in lines {
        after.extend_from_slice(line);
    }
    after
}

/// In a file that is open. What comes before the change is never gone meanwhile: readers look at any time.
pub fn change_in(file: &File, change: &Change<'_>) -> io::Result<()> {
    let before = read_bounded(file)?;
    let after = change.of(&before);
    let same = before
        .iter()
        .zip(&after)
        .take_while(|(one, other)| one == other)
        .count();
    file.write_all_at(&after[same..], same as u64)?;
    file.set_len(after.len() as u64)
}

/// In a root that belongs to its own init.
pub fn change_at(root: &Path, target: &Path, change: &Change<'_>) -> io::Result<()> {
    let place = paths::place_of_file(root, target)?;
    if !written::is_file_or_missing(&place)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let before = match File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&place)
    {
        Ok(file) => read_bounded(&file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let after = change.of(&before);
    if before == after {
        return Ok(());
    }
    written::write(root, target, &after)
}

fn read_bounded(file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is too long to be one",
        ));
    }
    let mut bytes = vec![0; length as usize];
    match file.read_exact_at(&mut bytes, 0) {
        // It has shrunk meanwhile.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            bytes.clear();
            file.take(LIMIT).read_to_end(&mut bytes)?;
        }
        other => other?,
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(address: &str, names: &[&str]) -> HostEntry {
        HostEntry {
            address: address.into(),
            names: names.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn names_come_go_and_change_and_the_rest_stays() {
        let one = block(&[named("10.0.0.7", &["db", "db.lan"])]).unwrap();
        assert_eq!(one, format!("{BEGIN}\n10.0.0.7\tdb db.lan\n{END}\n"));
        let first = with_block(b"127.0.0.1\tlocalhost\n", &one);
        assert_eq!(text(&first), format!("127.0.0.1\tlocalhost\n{one}"));
        let edited = [first.as_slice(), b"1.2.3.4 mine"].concat();
        let two = block(&[named("fd00::7", &["web"])]).unwrap();
        let second = with_block(&edited, &two);
        assert_eq!(text(&second), format!("127.0.0.1\tlocalhost\n{two}1.2.3.4 mine"));
        assert_eq!(
            text(&with_block(&second, "")),
            "127.0.0.1\tlocalhost\n1.2.3.4 mine"
        );
        assert_eq!(
            text(&with_block(b"1.2.3.4 mine", &one)),
            format!("1.2.3.4 mine\n{one}")
        );
    }

    #[test]
    fn lines_behind_a_lost_mark_are_kept() {
        let one = block(&[named("10.0.0.7", &["db"])]).unwrap();
        let torn = format!("{BEGIN}\n10.0.0.6\told\n1.2.3.4 mine\n");
        assert_eq!(
            text(&with_block(torn.as_bytes(), &one)),
            format!("{one}10.0.0.6\told\n1.2.3.4 mine\n")
        );
        // Two of them become one.
        let twice = format!("{one}{one}");
        assert_eq!(text(&with_block(twice.as_bytes(), &one)), one);
    }

    #[test]
    fn no_name_brings_lines_of_its_own() {
        for bad in ["a\nb", "", "a b", "#a"] {
            assert!(block(&[named("10.0.0.7", &[bad])]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn changes_a_file_that_is_open_and_one_of_a_root() {
        let root = std::env::temp_dir().join(format!("kiln-names-{}", std::process::id()));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        let path = root.join("etc/hosts");
        let (long, short) = (
            block(&[named("10.0.0.7", &["db", "db.lan"])]).unwrap(),
            block(&[named("10.0.0.8", &["a"])]).unwrap(),
        );
        std::fs::write(&path, "127.0.0.1\tlocalhost\n").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        for block in [&long, &short, &String::new()] {
            change_in(&file, &Change::Names(block)).unwrap();
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                format!("127.0.0.1\tlocalhost\n{block}")
            );
        }
        for block in [&long, &short] {
            change_at(&root, Path::new("/etc/hosts"), &Change::Names(block)).unwrap();
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                format!("127.0.0.1\tlocalhost\n{block}")
            );
        }
        file.set_len(LIMIT + 1).unwrap();
        assert!(change_in(&file, &Change::Names(&long)).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(change_at(&root, Path::new("/etc/hosts"), &Change::Names(&long)).is_err());
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_guest_that_moves_has_its_own_name_along_and_no_other() {
        let (from, to) = ("10.89.0.2".parse().unwrap(), "10.89.1.7".parse().unwrap());
        let others = format!("{BEGIN}\n10.89.0.2\tdb\n{END}\n");
        let text = format!("127.0.0.1\tlocalhost\n10.89.0.22\ta\n10.89.0.2\tweb\n{others}");
        let moved = text.replacen("10.89.0.2\tweb", "10.89.1.7\tweb", 1);
        let of = |text: &str| with_address(text.as_bytes(), from, to);
        assert_eq!(of(&text), moved.as_bytes());
        // Whose line is not there is not given one.
        assert_eq!(of(&others), others.as_bytes());
        assert_eq!(of("x"), b"x");
    }
}

//! Entries there and back, and archives that are broken.

use super::*;

fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (entry, data) in entries {
        bytes.extend(entry.encode());
        bytes.extend(*data);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend(END);
    bytes
}

fn read_all(bytes: &[u8]) -> io::Result<Vec<(Entry, Vec<u8>)>> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while let Some(entry) = reader.next()? {
        let mut data = Vec::new();
        let mut buffer = [0; 100];
        loop {
            match reader.read_data(&mut buffer)? {
                0 => break,
                count => data.extend(&buffer[..count]),
            }
        }
        all.push((entry, data));
    }
    Ok(all)
}

fn awkward() -> Vec<(Entry, &'static [u8])> {
    let file = Entry {
        mode: 0o4755,
        uid: 4_000_000,
        gid: 3_000_000_000,
        size: 5,
        mtime_ns: -1_500_000_001,
        xattrs: vec![(b"security.capability".to_vec(), vec![1, 0, 0, 2, b'\n', 0])],
        ..Entry::new([&b"x/".repeat(150)[..], b"\xff name"].concat(), Kind::File)
    };
    let link = Entry {
        link: b"y".repeat(300),
        ..Entry::new(b"l".to_vec(), Kind::Symlink)
    };
    let device = Entry {
        device: (254, 16),
        ..Entry::new(b"dev".to_vec(), Kind::BlockDevice)
    };
    vec![
        (file, b"hello"),
        (link, b""),
        (device, b""),
        (Entry::new(b"dir/".to_vec(), Kind::Directory), b""),
        (
            Entry {
                size: 1024,
                ..Entry::new(b"two blocks".to_vec(), Kind::File)
            },
            &[7; 1024],
        ),
    ]
}

#[test]
fn reads_back_what_it_wrote() {
    let read = read_all(&archive(&awkward())).unwrap();
    let expected: Vec<_> = awkward()
        .into_iter()
        .map(|(entry, data)| (entry, data.to_vec()))
        .collect();
    assert_eq!(read, expected);
}

#[test]
fn skips_data_that_nobody_reads() {
    let bytes = archive(&awkward());
    let mut reader = Reader::new(&bytes[..]);
    let mut count = 0;
    while reader.next().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn says_what_is_wrong_with_a_cut_archive() {
    let bytes = archive(&awkward());
    for end in [100, 600, 3000, bytes.len() - 1500] {
        assert!(read_all(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn refuses_a_changed_header_and_unknown_types() {
    let mut bytes = archive(&[(Entry::new(b"a".to_vec(), Kind::File), b"")]);
    bytes[0] = b'b';
    assert!(read_all(&bytes).unwrap_err().to_string().contains("checksum"));
    let sparse = Entry::new(b"a".to_vec(), Kind::File).ustar(b'S');
    assert!(read_all(&sparse).unwrap_err().to_string().contains("'S'"));
}

#[test]
fn refuses_names_without_end() {
    let long = Entry {
        size: u64::MAX >> 30,
        ..Entry::new(b"a".to_vec(), Kind::File)
    };
    for flag in [b'L', b'K', b'x', b'g'] {
        assert!(
            read_all(&long.ustar(flag))
                .unwrap_err()
                .to_string()
                .contains("too long")
        );
    }
}

#[test]
fn reads_gnu_long_names_and_binary_numbers() {
    let mut name = b"n".repeat(200);
    name.push(0);
    let long = Entry {
        size: 201,
        ..Entry::new(b"././@LongLink".to_vec(), Kind::File)
    };
    let mut bytes = long.ustar(b'L').to_vec();
    bytes.extend(&name);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    let mut header = Entry::new(b"n".to_vec(), Kind::File).ustar(b'0');
    header[108..116].copy_from_slice(&[0x80, 0, 0, 0, 0, 0x40, 0, 0]);
    header[136..148].copy_from_slice(&[0xff; 12]);
    let sum = checksum(&header);
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes.extend(header);
    let (entry, _) = read_all(&bytes).unwrap().remove(0);
    assert_eq!(
        (entry.path.len(), entry.uid, entry.mtime_ns),
        (200, 0x40_0000, -1_000_000_000)
    );
}

#[test]
fn survives_any_bytes() {
    let mut state = 1_u64;
    let seed = archive(&awkward());
    for _ in 0..3000 {
        let mut bytes = seed.clone();
        for _ in 0..8 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        // Either is fine; a panic or an endless loop is not.
        let _ = read_all(&bytes);
    }
}

#[test]
fn refuses_endless_extended_headers_and_takes_many_entries_with_some() {
    let entry = Entry::new(b"n".repeat(1000), Kind::File);
    let whole = entry.encode();
    let extension = &whole[..whole.len() - BLOCK];
    let mut reader = Reader::new(io::Read::take(Repeated::new(extension), 64 << 20));
    let error = reader.next().unwrap_err();
    assert!(error.to_string().contains("too many extended headers"), "{error}");
    let many = [whole.repeat(5000), END.to_vec()].concat();
    assert_eq!(read_all(&many).unwrap().len(), 5000);
}

/// The same bytes over and over.
struct Repeated<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Repeated<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Read for Repeated<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.bytes.len() - self.at);
        buffer[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at = (self.at + count) % self.bytes.len();
        Ok(count)
    }
}

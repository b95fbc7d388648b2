//! A file's data, written so that pages of zeros take no room: a hole comes as zeros, for an archive knows no other way.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::tar::Reader;

const PIECE: usize = 64 << 10;
const PAGE: usize = 4 << 10;
const ZEROS: [u8; PAGE] = [0; PAGE];

/// Writes all data of the current entry into an empty file.
pub fn write_data<R: Read>(file: &OwnedFd, reader: &mut Reader<R>) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    loop {
        let mut filled = 0;
        while filled < PIECE {
            match reader.read_data(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        write_piece(file, &buffer[..filled], at)?;
        at += filled as u64;
        if filled < PIECE {
            // No write has made a hole at the end.
            return Ok(rustix::fs::ftruncate(file, at)?);
        }
    }
}

fn write_piece(file: &OwnedFd, piece: &[u8], at: u64) -> io::Result<()> {
    let is_hole = |page: &[u8]| page == &ZEROS[..page.len()];
    let mut done = 0;
    let pages: Vec<&[u8]> = piece.chunks(PAGE).collect();
    for run in pages.chunk_by(|one, other| is_hole(one) == is_hole(other)) {
        let length = run.iter().map(|page| page.len()).sum::<usize>();
        if !is_hole(run[0]) {
            write_all(file, &piece[done..done + length], at + done as u64)?;
        }
        done += length;
    }
    Ok(())
}

fn write_all(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, at) {
            Ok(count) => {
                bytes = &bytes[count..];
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

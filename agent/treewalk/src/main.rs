//! Test tool: lists every attribute of every file below a directory, one JSON line each, so that the tree inside a
//! VM can be held against what another unpacker made of the same image. Static and without needs, so that it runs in
//! any guest.
//!
//! Bytes (names, link targets) are written as one character per byte, control characters escaped; files of another
//! file system (mounts) are listed as `"type":"mount"` and not entered.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sha2::{Digest, Sha256};

fn main() -> io::Result<()> {
    let root = std::env::args_os().nth(1).unwrap_or_else(|| "/".into());
    let root = Path::new(&root);
    let device = fs::symlink_metadata(root)?.dev();
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    walk(root, b".", device, &mut BTreeMap::new(), &mut out)?;
    out.flush()
}

/// Hard links seen so far: inode number to the first path.
type Links = BTreeMap<u64, String>;

fn walk(
    path: &Path,
    name: &[u8],
    device: u64,
    links: &mut Links,
    out: &mut impl Write,
) -> io::Result<()> {
    let meta = fs::symlink_metadata(path).map_err(|e| annotate(path, &e))?;
    if meta.dev() != device {
        return writeln!(out, "{{\"path\":{},\"type\":\"mount\"}}", quote(name));
    }
    writeln!(out, "{}", describe(path, name, &meta, links)?)?;
    if !meta.is_dir() {
        return Ok(());
    }
    let mut children: Vec<_> = fs::read_dir(path)
        .map_err(|e| annotate(path, &e))?
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<io::Result<_>>()?;
    children.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    for child in children {
        let mut child_name = name.to_vec();
        child_name.push(b'/');
        child_name.extend_from_slice(child.as_bytes());
        walk(&path.join(&child), &child_name, device, links, out)?;
    }
    Ok(())
}

fn describe(path: &Path, name: &[u8], meta: &Metadata, links: &mut Links) -> io::Result<String> {
    let mut fields = vec![
        format!("\"path\":{}", quote(name)),
        format!("\"type\":\"{}\"", type_name(meta)),
        format!("\"mode\":{}", meta.mode() & 0o7777),
        format!("\"uid\":{}", meta.uid()),
        format!("\"gid\":{}", meta.gid()),
        format!(
            "\"mtimeNs\":\"{}\"",
            i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
        ),
    ];
    if meta.is_file() {
        fields.push(format!("\"size\":{}", meta.len()));
        fields.push(format!("\"sha256\":\"{}\"", digest(path)?));
    }
    if meta.is_symlink() {
        fields.push(format!(
            "\"target\":{}",
            quote(fs::read_link(path)?.as_os_str().as_bytes())
        ));
    }
    if meta.file_type().is_char_device() || meta.file_type().is_block_device() {
        fields.push(format!(
            "\"rdev\":\"{}:{}\"",
            libc::major(meta.rdev()),
            libc::minor(meta.rdev())
        ));
    }
    if !meta.is_dir() && meta.nlink() > 1 {
        let first = links.entry(meta.ino()).or_insert_with(|| quote(name));
        fields.push(format!("\"links\":{}", meta.nlink()));
        fields.push(format!("\"sameAs\":{first}"));
    }
    let xattrs = read_xattrs(path)?;
    if !xattrs.is_empty() {
        let pairs: Vec<_> = xattrs
            .iter()
            .map(|(key, value)| format!("{}:\"{}\"", quote(key), hex(value)))
            .collect();
        fields.push(format!("\"xattrs\":{{{}}}", pairs.join(",")));
    }
    Ok(format!("{{{}}}", fields.join(",")))
}

fn type_name(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    if kind.is_dir() {
        "directory"
    } else if kind.is_file() {
        "file"
    } else if kind.is_symlink() {
        "symlink"
    } else if kind.is_char_device() {
        "char"
    } else if kind.is_block_device() {
        "block"
    } else if kind.is_fifo() {
        "fifo"
    } else {
        "socket"
    }
}

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path).map_err(|e| annotate(path, &e))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

fn read_xattrs(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let c_path = c_string(path.as_os_str())?;
    // SAFETY: c_path is NUL-terminated and the buffer's length is passed with it.
    let names = grow(|buffer| unsafe {
        libc::llistxattr(c_path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
    })?;
    let mut found = BTreeMap::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let c_name = CString::new(name)?;
        // SAFETY: both strings are NUL-terminated and the buffer's length is passed with it.
        let value = grow(|buffer| unsafe {
            libc::lgetxattr(
                c_path.as_ptr(),
                c_name.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        })?;
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

/// Calls with a buffer of 64 KiB, which is Linux's limit for both lists and values (xattr(7)).
fn grow(call: impl FnOnce(&mut [u8]) -> isize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0u8; 1 << 16];
    let length = call(&mut buffer);
    match usize::try_from(length) {
        Ok(length) => {
            buffer.truncate(length);
            Ok(buffer)
        }
        Err(_) => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOTSUP) => Ok(Vec::new()),
            error => Err(error),
        },
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::other)
}

fn annotate(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A JSON string with one character per byte.
fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            0x20..=0x7e => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\u00{byte:02x}")),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quotes_every_byte_as_one_character() {
        assert_eq!(quote(b"a\"\\\n\xff"), r#""a\"\\\u000a\u00ff""#);
    }
}

//! ListDirectory, MakeDirectory, RemovePath, RenamePath: what a program does with paths, on threads of their own.
//!
//! The agent's root is the guest's: its kernel resolves every path, so that links lead nowhere else.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio::sync::mpsc;

use crate::aside::WORK;
use crate::grpc::Call;
use crate::grpc::status::{Result, Status};
use crate::proto::{
    DirectoryEntry, ListDirectoryRequest, ListDirectoryResponse, MakeDirectoryRequest, MakeDirectoryResponse,
    RemovePathRequest, RemovePathResponse, RenamePathRequest, RenamePathResponse,
};

/// Entries in one message: with names and links of the longest, some hundred KiB.
const BATCH: usize = 128;
const QUEUE: usize = 4;
const PERMISSIONS: u32 = 0o7777;

pub async fn list(mut call: Call) {
    let (requests, replies) = (&mut call.requests, &mut call.replies);
    let outcome = async {
        let request: ListDirectoryRequest = requests
            .next()
            .await?
            .ok_or_else(|| Status::invalid("the request holds no message"))?;
        let path = absolute(&request.path)?;
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        let reading = WORK.begin(move || {
            read_directory(&path, &sender)
                .map_err(|error| Status::from_io(format_args!("list {}", path.display()), error))
        })?;
        loop {
            let entries = tokio::select! {
                entries = receiver.recv() => entries,
                () = replies.reset() => return Err(Status::gone()),
            };
            let Some(entries) = entries else { break };
            replies.send(&ListDirectoryResponse { entries }).await?;
        }
        reading.await
    }
    .await;
    call.finish(outcome).await;
}

fn read_directory(path: &Path, batches: &mpsc::Sender<Vec<DirectoryEntry>>) -> io::Result<()> {
    let mut batch = Vec::new();
    for entry in fs::read_dir(path)? {
        // Gone between its name and the look at it: it is not there.
        let Some(described) = describe(&entry?)? else {
            continue;
        };
        batch.push(described);
        if batch.len() == BATCH && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
            return Ok(()); // nobody listens any more
        }
    }
    // As above.
    let _ = batches.blocking_send(batch);
    Ok(())
}

fn describe(entry: &DirEntry) -> io::Result<Option<DirectoryEntry>> {
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let link_target = match fs::read_link(entry.path()) {
        Ok(target) if metadata.is_symlink() => target.into_os_string().into_vec(),
        _ => Vec::new(),
    };
    Ok(Some(DirectoryEntry {
        name: entry.file_name().into_vec().into(),
        mode: metadata.mode(),
        size: metadata.len(),
        mtime_unix_ns: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
        uid: metadata.uid(),
        gid: metadata.gid(),
        link_target: link_target.into(),
    }))
}

pub async fn make_directory(request: MakeDirectoryRequest) -> Result<MakeDirectoryResponse> {
    let path = absolute(&request.path)?;
    WORK.run(move || {
        let made = make(&path, &request)
            .map_err(|error| Status::from_io(format_args!("make the directory {}", path.display()), error))?;
        Ok(MakeDirectoryResponse { made })
    })
    .await
}

/// Gives whether the last one was made.
fn make(path: &Path, request: &MakeDirectoryRequest) -> io::Result<bool> {
    if !request.recursive {
        return make_one(path, request.mode, request).map(|()| true);
    }
    let mut at = PathBuf::new();
    let mut names = path.components().peekable();
    let mut made = false;
    while let Some(name) = names.next() {
        at.push(name);
        let mode = if names.peek().is_none() {
            request.mode
        } else {
            0o755
        };
        made = match make_one(&at, mode, request) {
            Ok(()) => true,
            // mkdir("..") and the like say so too.
            Err(_) if at.is_dir() => false,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Err(error) => return Err(error),
        };
    }
    Ok(made)
}

fn make_one(path: &Path, mode: u32, request: &MakeDirectoryRequest) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    chown(path, Some(request.uid), Some(request.gid))?;
    // Whatever the umask is; after chown, which takes set-group-ID away.
    fs::set_permissions(path, fs::Permissions::from_mode(mode & PERMISSIONS))
}

pub async fn remove(request: RemovePathRequest) -> Result<RemovePathResponse> {
    let path = absolute(&request.path)?;
    if path.components().count() < 2 {
        return Err(Status::invalid("the root directory is not removed"));
    }
    WORK.run(move || match remove_at(&path, request.recursive) {
        Err(error) if request.force && error.kind() == io::ErrorKind::NotFound => Ok(RemovePathResponse {}),
        Err(error) => Err(Status::from_io(format_args!("remove {}", path.display()), error)),
        Ok(()) => Ok(RemovePathResponse {}),
    })
    .await
}

fn remove_at(path: &Path, recursive: bool) -> io::Result<()> {
    match fs::symlink_metadata(path)? {
        found if !found.is_dir() => fs::remove_file(path),
        _ if recursive => fs::remove_dir_all(path),
        _ => fs::remove_dir(path),
    }
}

pub async fn rename(request: RenamePathRequest) -> Result<RenamePathResponse> {
    let from = absolute(&request.from)?;
    let to = absolute(&request.to)?;
    WORK.run(move || {
        let flags = if request.no_replace {
            RenameFlags::NOREPLACE
        } else {
            RenameFlags::empty()
        };
        renameat_with(CWD, &from, CWD, &to, flags)
            .map(|()| RenamePathResponse {})
            .map_err(|error| {
                let what = format_args!("rename {} to {}", from.display(), to.display()).to_string();
                Status::from_io(what, error)
            })
    })
    .await
}

pub(super) fn absolute(path: &Bytes) -> Result<PathBuf> {
    if !path.starts_with(b"/") || path.contains(&0) {
        return Err(Status::invalid(format!(
            "\"{}\" is no absolute path",
            String::from_utf8_lossy(path).escape_debug()
        )));
    }
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

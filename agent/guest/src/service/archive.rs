//! ReadArchive, WriteArchive, StatPath: tar streams between calls and threads.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::archive::pack::Packer;
use crate::archive::unpack::{Options, Unpacked, unpack};
use crate::aside::{LOOKS, WORK};
use crate::grpc::status::{Result, Status};
use crate::grpc::{Call, Replies, Requests};
use crate::proto::write_archive_request::Message as Ask;
use crate::proto::{
    ReadArchiveRequest, ReadArchiveResponse, StatPathRequest, StatPathResponse, WriteArchiveRequest,
    WriteArchiveResponse, WriteArchiveStart,
};

const PIECE: usize = 64 << 10;
/// Pieces between the thread and the call: enough that neither waits for each one.
const QUEUE: usize = 4;

pub async fn read(mut call: Call) {
    let outcome = run_read(&mut call.requests, &mut call.replies).await;
    call.finish(outcome).await;
}

async fn run_read(requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let request: ReadArchiveRequest = requests
        .next()
        .await?
        .ok_or_else(|| Status::invalid("the request holds no message"))?;
    let path = absolute(&request.path)?;
    // So that "no such file" is the answer, not the end of a stream.
    let looked_at = path.clone();
    LOOKS
        .briefly(move || look(&looked_at, request.follow_link))
        .await?;
    let (sender, mut receiver) = mpsc::channel(QUEUE);
    let packing = WORK.begin(move || {
        let output = PieceWriter {
            pieces: sender,
            buffer: BytesMut::with_capacity(PIECE),
        };
        let packed = Packer::new(output).pack(&path, request.follow_link);
        packed.map_err(|error| Status::from_io(format_args!("read {}", path.display()), error))
    })?;
    loop {
        let piece = tokio::select! {
            piece = receiver.recv() => piece,
            // The thread ends at its next piece: nobody takes it.
            () = replies.reset() => return Err(Status::gone()),
        };
        let Some(data) = piece else { break };
        replies.send(&ReadArchiveResponse { data }).await?;
    }
    packing.await
}

pub async fn write(mut call: Call) {
    let outcome = match run_write(&mut call.requests).await {
        Ok(Unpacked { entries, bytes }) => call.replies.send(&WriteArchiveResponse { entries, bytes }).await,
        Err(status) => Err(status),
    };
    call.finish(outcome).await;
}

async fn run_write(requests: &mut Requests) -> Result<Unpacked> {
    let first: Option<WriteArchiveRequest> = requests.next().await?;
    let Some(Ask::Start(start)) = first.and_then(|request| request.message) else {
        return Err(Status::invalid("the first message of WriteArchive is `start`"));
    };
    let WriteArchiveStart {
        directory,
        keep_owner,
        no_overwrite_dir_non_dir,
        dress_directory,
    } = start;
    let directory = absolute(&directory)?;
    let options = Options {
        keep_owner,
        no_overwrite_dir_non_dir,
        dress_directory,
    };
    let (sender, receiver) = mpsc::channel(QUEUE);
    let mut unpacking = WORK.begin(move || {
        let input = PieceReader {
            pieces: receiver,
            current: Bytes::new(),
            broken_off: true,
        };
        unpack(input, &directory, options)
            .map_err(|error| Status::from_io(format_args!("write into {}", directory.display()), error))
    })?;
    loop {
        let request = tokio::select! {
            // Before the stream's end only by a failure, or by an archive with something behind its end.
            outcome = &mut unpacking => {
                let unpacked = outcome?;
                while requests.next::<WriteArchiveRequest>().await?.is_some() {}
                return Ok(unpacked);
            }
            request = requests.next::<WriteArchiveRequest>() => request?,
        };
        match request.map(|request| request.message) {
            None => break,
            Some(Some(Ask::Data(data))) => {
                // Refused only where the thread has ended: the next turn says how.
                let _ = sender.send(Some(data)).await;
            }
            Some(Some(Ask::Start(_))) => return Err(Status::invalid("a second `start`")),
            Some(None) => {}
        }
    }
    // Says that the end is an end: a sender that is merely dropped is a host that has gone.
    let _ = sender.send(None).await;
    drop(sender);
    unpacking.await
}

pub async fn stat(request: StatPathRequest) -> Result<StatPathResponse> {
    let path = absolute(&request.path)?;
    LOOKS.briefly(move || describe(&path, &request)).await
}

fn describe(path: &Path, request: &StatPathRequest) -> Result<StatPathResponse> {
    let metadata = look(path, request.follow_link)?;
    let link_target_bytes = match fs::read_link(path) {
        Ok(target) if metadata.is_symlink() => target.into_os_string().into_vec(),
        _ => Vec::new(),
    };
    Ok(StatPathResponse {
        name: path
            .file_name()
            .map_or_else(|| "/".to_owned(), |name| name.to_string_lossy().into_owned()),
        size: metadata.len(),
        mode: metadata.mode(),
        mtime_unix_ns: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
        link_target: String::from_utf8_lossy(&link_target_bytes).into_owned(),
        link_target_bytes: link_target_bytes.into(),
    })
}

fn look(path: &Path, follow_link: bool) -> Result<fs::Metadata> {
    let metadata = if follow_link {
        fs::metadata(path)
    } else {
        fs::symlink_metadata(path)
    };
    metadata.map_err(|error| Status::from_io(path.display(), error))
}

fn absolute(path: &str) -> Result<PathBuf> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Status::invalid(format!(
            "\"{}\" is no absolute path",
            path.escape_debug()
        )));
    }
    Ok(PathBuf::from(path))
}

/// Cuts what a thread writes into pieces for a call.
struct PieceWriter {
    pieces: mpsc::Sender<Bytes>,
    buffer: BytesMut,
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = self.buffer.split().freeze();
        self.buffer.reserve(PIECE);
        self.pieces
            .blocking_send(piece)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Gives a thread what a call receives.
struct PieceReader {
    /// None says that the stream has come to its end.
    pieces: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    broken_off: bool,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Some(bytes)) => self.current = bytes,
                Some(None) => {
                    self.broken_off = false;
                    return Ok(0);
                }
                None if self.broken_off => return Err(io::ErrorKind::ConnectionAborted.into()),
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

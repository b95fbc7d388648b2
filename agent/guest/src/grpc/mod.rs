//! A gRPC server on one HTTP/2 connection (h2c, prior knowledge), on one thread. Knows nothing of what is served.
//!
//! Every call answers with headers at once, so that each later end is a trailer; each sending side waits for HTTP/2's
//! flow control, so that a slow reader holds up its own producer and nobody else.

mod codec;
pub mod status;

use std::future::{Future, poll_fn};
use std::io;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use self::codec::{Decoder, encode};
use self::status::{Code, Result, Status};

/// What one stream may have in flight to us: some round trips' worth at the channel's speed.
const STREAM_WINDOW: u32 = 2 << 20;
/// All streams together: so far above one stream's that one whose handler waits (a full stdin) stops no other.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// The host gives each kind of call a part of them and keeps the rest for itself; see `agent::Crowd`.
const MAX_STREAMS: u32 = 2048;
const DRAIN: Duration = Duration::from_secs(2);
const MAX_HEADERS: u32 = 16 << 10;
/// The default of HTTP/2, said here because `channel::guard` counts on it.
const MAX_FRAME: u32 = 16_384;

/// Serves until the connection ends; then ends every call. `handle` gets each call's path ("/package.Service/Method").
pub async fn serve<S, H, F>(io: S, handle: H) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(String, Call) -> F,
    F: Future<Output = ()> + 'static,
{
    let mut connection = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .max_frame_size(MAX_FRAME)
        .handshake(io)
        .await
        .map_err(into_io)?;
    // Dropped with this future: a call lives no longer than its session.
    let mut calls = JoinSet::new();
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted.map_err(into_io)?;
        while calls.try_join_next().is_some() {}
        if let Some((path, call)) = Call::begin(request, respond) {
            calls.spawn_local(handle(path, call));
        }
    }
    Ok(())
}

fn into_io(error: h2::Error) -> io::Error {
    if error.is_io() {
        error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// One call: what the host sends, and where the answer goes.
pub struct Call {
    pub requests: Requests,
    pub replies: Replies,
    /// The host's own deadline, where it gave one.
    pub timeout: Option<Duration>,
}

impl Call {
    fn begin(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Option<(String, Self)> {
        let (parts, body) = request.into_parts();
        let is_grpc = parts
            .headers
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        let mut response = Response::new(());
        if !is_grpc || parts.method != http::Method::POST {
            *response.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
            // The peer may have gone; there is nobody else to tell.
            let _ = respond.send_response(response, true);
            return None;
        }
        response.headers_mut().insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc+proto"),
        );
        let stream = respond.send_response(response, false).ok()?;
        let timeout = parts
            .headers
            .get("grpc-timeout")
            .and_then(|value| parse_timeout(value.as_bytes()));
        let requests = Requests {
            body,
            decoder: Decoder::default(),
        };
        Some((
            parts.uri.path().to_owned(),
            Self {
                requests,
                replies: Replies { stream },
                timeout,
            },
        ))
    }

    /// A call of one message each way. Cancelled, deadline included, when the host resets it.
    pub async fn unary<Q, P, F>(mut self, body: impl FnOnce(Q) -> F)
    where
        Q: Message + Default,
        P: Message,
        F: Future<Output = Result<P>>,
    {
        let answer = async {
            let request = self
                .requests
                .next::<Q>()
                .await?
                .ok_or_else(|| Status::invalid("the request holds no message"))?;
            body(request).await
        };
        let deadline = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            outcome = answer => outcome,
            () = self.replies.reset() => return,
            () = deadline => Err(Status::new(Code::DeadlineExceeded, "the caller's deadline has passed")),
        };
        let outcome = match outcome {
            Ok(reply) => self.replies.send(&reply).await,
            Err(status) => Err(status),
        };
        self.finish(outcome).await;
    }

    /// Ends the call with its status, and takes what the host still sends: every call's way to end, answered or
    /// refused. Dropped with its body under way, the stream would be reset beside its answer, and Node then throws the
    /// answer away ("Premature close"): a stop that was taken would look as if it had failed.
    pub async fn finish(self, outcome: Result<()>) {
        self.replies.finish(outcome);
        self.requests.drain().await;
    }
}

/// The messages that the host sends in one call.
pub struct Requests {
    body: RecvStream,
    decoder: Decoder,
}

impl Requests {
    /// The next message; None once the host has said all. Safe to drop while waiting: nothing is lost.
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>> {
        loop {
            if let Some(message) = self.decoder.next()? {
                return Ok(Some(message));
            }
            match self.body.data().await {
                Some(Ok(bytes)) => {
                    self.decoder.feed(&bytes);
                    // Given back as it is read: what waits for its handler is in the decoder, at most one message
                    // and a frame, because nobody reads on before that is done.
                    self.body
                        .flow_control()
                        .release_capacity(bytes.len())
                        .map_err(|_| Status::gone())?;
                }
                Some(Err(_)) => return Err(Status::gone()),
                None if self.decoder.is_empty() => return Ok(None),
                None => return Err(Status::invalid("the stream ends inside a message")),
            }
        }
    }
}

impl Requests {
    /// After the answer: takes what the host still sends, to its end.
    async fn drain(mut self) {
        let drained = async {
            while let Some(Ok(bytes)) = self.body.data().await {
                if self.body.flow_control().release_capacity(bytes.len()).is_err() {
                    return;
                }
            }
        };
        // A host that sends on without end has had its answer.
        let _ = tokio::time::timeout(DRAIN, drained).await;
    }
}

/// Where the answers of one call go.
pub struct Replies {
    stream: SendStream<Bytes>,
}

impl Replies {
    /// Sends one message, waiting for the reader's window.
    pub async fn send(&mut self, message: &impl Message) -> Result<()> {
        let mut bytes = encode(message);
        while !bytes.is_empty() {
            self.stream.reserve_capacity(bytes.len());
            let mut room = self.stream.capacity();
            if room == 0 {
                room = match poll_fn(|cx| self.stream.poll_capacity(cx)).await {
                    Some(Ok(room)) => room,
                    _ => return Err(Status::gone()),
                };
            }
            let piece = bytes.split_to(room.min(bytes.len()));
            if !piece.is_empty() {
                self.stream.send_data(piece, false).map_err(|_| Status::gone())?;
            }
        }
        Ok(())
    }

    /// Returns when the host has cancelled the call.
    pub async fn reset(&mut self) {
        // An error means that the stream or the connection has ended: the same to a handler.
        let _ = poll_fn(|cx| self.stream.poll_reset(cx)).await;
    }

    fn finish(mut self, outcome: Result<()>) {
        let mut trailers = HeaderMap::new();
        match outcome {
            Ok(()) => {
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
            }
            Err(status) => {
                trailers.insert("grpc-status", HeaderValue::from(status.code as u16));
                if let Ok(message) = HeaderValue::from_str(&status.encoded_message()) {
                    trailers.insert("grpc-message", message);
                }
            }
        }
        // Fails only where the stream has been reset: nobody waits for the status.
        let _ = self.stream.send_trailers(trailers);
    }
}

/// `grpc-timeout`: up to eight digits and a unit.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (&unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(count * 3600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_timeouts_of_every_unit_and_no_others() {
        assert_eq!(parse_timeout(b"2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parse_timeout(b"1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(
            parse_timeout(b"99999999n"),
            Some(Duration::from_nanos(99_999_999))
        );
        for bad in [&b""[..], b"S", b"1", b"1x", b"-1S", b"123456789S"] {
            assert_eq!(parse_timeout(bad), None);
        }
    }
}

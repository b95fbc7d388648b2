//! The one call: `kiln.v1.VmService/Exec` as Connect over HTTP/2 (h2c, prior knowledge), with the back-pressure of both
//! directions. Knows nothing of terminals and signals.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture};
use h2::{RecvStream, SendStream};
use http::{Request, StatusCode, Version};
use tokio::net::UnixStream;

use crate::envelope::{Envelope, Reader, encode};
use crate::proto::exec_request::Message as Ask;
use crate::proto::{ExecRequest, ExecResponse};

const EXEC: &str = "http://localhost/kiln.v1.VmService/Exec";
/// What may be on its way to us before we read on: this makes a slow reader of ours pause the program in the guest.
const WINDOW: u32 = 256 << 10;
const MAX_HEADERS: u32 = 16 << 10;
/// Longest refusal that is kept.
const MAX_REFUSAL: usize = 64 << 10;

/// A call that ended without the program's exit.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// HTTP's; 0 where the connection was lost, or spoke no Connect.
    pub status: u16,
    /// For 200 the status of the call in Connect's JSON, else the body of the refusal.
    pub body: Bytes,
}

impl Failed {
    fn lost() -> Self {
        Self {
            status: 0,
            body: Bytes::new(),
        }
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(_: E) -> Self {
        // What broke says nothing to a user that "the connection was lost" does not say.
        Self::lost()
    }
}

/// Opens the call; nothing is asked for yet.
pub async fn open(stream: UnixStream) -> Result<(Requests, Answers), Failed> {
    let (client, connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(MAX_HEADERS)
        .handshake::<_, Bytes>(stream)
        .await?;
    // Its failures come out of the call.
    tokio::spawn(connection);
    let request = Request::post(EXEC)
        .version(Version::HTTP_2)
        .header("content-type", "application/connect+proto")
        .header("connect-protocol-version", "1")
        .body(())?;
    let (response, body) = client.ready().await?.send_request(request, false)?;
    let answers = Answers {
        response: Some(response),
        body: None,
        reader: Reader::default(),
        held: 0,
    };
    Ok((Requests { body }, answers))
}

/// What goes to the program.
pub struct Requests {
    body: SendStream<Bytes>,
}

impl Requests {
    /// Sends one message, waiting for kilnd's window. Where it fails, `Answers` say why.
    pub async fn send(&mut self, ask: Ask) -> Result<(), Failed> {
        let mut bytes = encode(&ExecRequest { message: Some(ask) });
        while !bytes.is_empty() {
            self.body.reserve_capacity(bytes.len());
            let mut room = self.body.capacity();
            if room == 0 {
                let grown = poll_fn(|cx| self.body.poll_capacity(cx)).await;
                room = grown.ok_or_else(Failed::lost)??;
            }
            if room > 0 {
                self.body
                    .send_data(bytes.split_to(room.min(bytes.len())), false)?;
            }
        }
        Ok(())
    }
}

/// What comes from the program.
pub struct Answers {
    /// Until its headers are here.
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    reader: Reader,
    /// Bytes that kilnd has no room for again yet.
    held: usize,
}

impl Answers {
    /// The next answer. Room for more is given to kilnd only once all that came before has been asked for, so a caller
    /// that waits makes the program wait.
    pub async fn next(&mut self) -> Result<ExecResponse, Failed> {
        loop {
            match self.reader.next().map_err(|_| Failed::lost())? {
                Some(Envelope::Message(message)) => return Ok(message),
                Some(Envelope::End(body)) => return Err(Failed { status: 200, body }),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), Failed> {
        if let Some(response) = self.response.take() {
            let (parts, body) = response.await?.into_parts();
            if parts.status != StatusCode::OK {
                return Err(refusal(parts.status, body).await);
            }
            self.body = Some(body);
        }
        let body = self.body.as_mut().ok_or_else(Failed::lost)?;
        body.flow_control()
            .release_capacity(std::mem::take(&mut self.held))?;
        let chunk = body.data().await.ok_or_else(Failed::lost)??;
        self.held = chunk.len();
        self.reader.feed(&chunk);
        Ok(())
    }
}

/// The answer of something that carried no call: another program, an older kilnd.
async fn refusal(status: StatusCode, mut body: RecvStream) -> Failed {
    let mut text = BytesMut::new();
    while text.len() < MAX_REFUSAL {
        let Some(Ok(chunk)) = body.data().await else { break };
        text.extend_from_slice(&chunk);
    }
    text.truncate(MAX_REFUSAL);
    Failed {
        status: status.as_u16(),
        body: text.freeze(),
    }
}

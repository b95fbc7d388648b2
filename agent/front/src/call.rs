//! Calls of `kiln.v1` as Connect over HTTP/2 (h2c, prior knowledge), with the back-pressure of both directions. Knows
//! nothing of what is asked, of terminals and signals.

use std::future::{pending, poll_fn};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, StatusCode, Version};
use prost::Message;
use tokio::net::UnixStream;

use crate::envelope::{Envelope, Reader, encode};
use crate::failed::Failed;
use crate::pulse::{PATIENCE, Patience, silence};

/// What may be on its way to us before we read on: this makes a slow reader of ours pause the program in the guest.
const WINDOW: u32 = 256 << 10;
const MAX_HEADERS: u32 = 16 << 10;
/// Longest refusal that is kept.
const MAX_REFUSAL: usize = 64 << 10;

/// A connection to kilnd. It ends with the last of its calls, once this is dropped; and where kilnd answers no ping.
pub struct Connection {
    calls: SendRequest<Bytes>,
    is_silent: Arc<AtomicBool>,
}

impl Connection {
    /// Nothing is asked for yet.
    pub async fn open(stream: UnixStream) -> Result<Self, Failed> {
        Self::open_with(stream, PATIENCE).await
    }

    async fn open_with(stream: UnixStream, patience: Patience) -> Result<Self, Failed> {
        let (calls, mut connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .handshake::<_, Bytes>(stream)
            .await?;
        let is_silent = Arc::new(AtomicBool::new(false));
        let silent = Arc::clone(&is_silent);
        let pings = connection.ping_pong();
        tokio::spawn(async move {
            let pulse = async {
                match pings {
                    Some(pings) => silence(patience, pings).await,
                    None => pending().await,
                }
            };
            // Its failures come out of the calls, also of a connection that is dropped here.
            tokio::select! {
                biased;
                _ = connection => {}
                () = pulse => silent.store(true, Ordering::Relaxed),
            }
        });
        Ok(Self { calls, is_silent })
    }

    /// Why a call on it failed.
    pub fn judge(&self, failed: Failed) -> Failed {
        if self.is_silent.load(Ordering::Relaxed) {
            Failed::silent()
        } else {
            failed
        }
    }

    /// Opens a call of "VmService/Exec" and the like; its messages are for the caller to know.
    pub async fn call<Ask, Answer>(&self, method: &str) -> Result<(Requests<Ask>, Answers<Answer>), Failed> {
        let request = Request::post(format!("http://localhost/kiln.v1.{method}"))
            .version(Version::HTTP_2)
            .header("content-type", "application/connect+proto")
            .header("connect-protocol-version", "1")
            .body(())?;
        let (response, body) = self.calls.clone().ready().await?.send_request(request, false)?;
        let requests = Requests {
            body,
            kind: PhantomData,
        };
        let answers = Answers {
            response: Some(response),
            body: None,
            reader: Reader::default(),
            held: 0,
            kind: PhantomData,
        };
        Ok((requests, answers))
    }
}

/// What goes to kilnd.
pub struct Requests<Ask> {
    body: SendStream<Bytes>,
    kind: PhantomData<Ask>,
}

impl<Ask: Message> Requests<Ask> {
    /// Sends one message, waiting for kilnd's window. Where it fails, `Answers` say why.
    pub async fn send(&mut self, ask: &Ask) -> Result<(), Failed> {
        let mut bytes = encode(ask);
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

    /// No more follow.
    pub fn finish(&mut self) -> Result<(), Failed> {
        Ok(self.body.send_data(Bytes::new(), true)?)
    }
}

/// What comes from kilnd.
pub struct Answers<Answer> {
    /// Until its headers are here.
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    reader: Reader,
    /// Bytes that kilnd has no room for again yet.
    held: usize,
    kind: PhantomData<Answer>,
}

impl<Answer: Message + Default> Answers<Answer> {
    /// The next answer. Room for more is given to kilnd only once all that came before has been asked for, so a caller
    /// that waits makes the program wait.
    pub async fn next(&mut self) -> Result<Answer, Failed> {
        loop {
            match self.reader.next().map_err(|_| Failed::nonsense())? {
                Some(Envelope::Message(message)) => return Ok(message),
                Some(Envelope::End(body)) => return Err(Failed::answered(200, body)),
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
        let body = self.body.as_mut().ok_or_else(Failed::nonsense)?;
        body.flow_control()
            .release_capacity(std::mem::take(&mut self.held))?;
        let chunk = body.data().await.ok_or_else(Failed::nonsense)??;
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
    Failed::answered(status.as_u16(), text.freeze())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proto::VmStalled;

    #[tokio::test]
    async fn fails_the_calls_of_a_kilnd_that_answers_nothing() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair of sockets");
        let patience = Patience {
            step: Duration::from_millis(1),
            looks: 3,
        };
        let connection = Connection::open_with(ours, patience).await.expect("a connection");
        let call = connection.call::<VmStalled, VmStalled>("VmService/Exec").await;
        let (_requests, mut answers) = call.expect("a call");
        let failed = answers.next().await.expect_err("no answer");
        assert!(failed.is_lost);
        let judged = connection.judge(failed);
        assert!(judged.is_silent && !judged.is_outage());
    }
}

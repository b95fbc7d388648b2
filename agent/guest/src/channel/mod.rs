//! The one byte stream to the host: finds it, and serves one session after the other on it, for ever.

mod guard;
pub mod hello;
mod port;
mod vsock;

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::hello::{Scanner, Step};
use self::port::Port;
use self::vsock::VsockListener;
use crate::agent::Agent;
use crate::console;
use crate::service;

/// Name of the virtio-serial port and number of the vsock port: both are part of the wire.
pub const PORT_NAME: &str = "dev.kiln.channel";
pub const VSOCK_PORT: u32 = 1024;

/// Which way the host comes in.
pub enum Channel {
    Port(Port),
    Vsock(VsockListener),
    #[cfg(feature = "host-test")]
    Unix(tokio::net::UnixListener),
}

impl Channel {
    pub fn open_port(device: &str) -> io::Result<Self> {
        Port::open(device).map(Self::Port)
    }

    pub fn listen_vsock() -> io::Result<Self> {
        VsockListener::bind(VSOCK_PORT).map(Self::Vsock)
    }

    /// Serves sessions, one at a time. Returns only when the channel itself breaks.
    pub async fn serve(&mut self, agent: &Rc<Agent>) -> io::Result<()> {
        loop {
            match self {
                Self::Port(port) => {
                    port.connected().await?;
                    let mut session = port.session();
                    let ended = match accept_hello(&mut session, agent).await {
                        Ok(start) => {
                            session.begin_frames(&start);
                            service::serve(session, agent).await
                        }
                        Err(error) => Err(error),
                    };
                    report(ended);
                }
                Self::Vsock(listener) => {
                    let stream = listener.accept().await?;
                    report(serve_stream(stream, agent).await);
                }
                #[cfg(feature = "host-test")]
                Self::Unix(listener) => {
                    let (stream, _) = listener.accept().await?;
                    report(serve_stream(stream, agent).await);
                }
            }
        }
    }
}

/// One session on a connection of its own.
async fn serve_stream<S>(mut stream: S, agent: &Rc<Agent>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let start = accept_hello(&mut stream, agent).await?;
    let (reader, writer) = tokio::io::split(stream);
    let joined = tokio::io::join(io::Cursor::new(start).chain(reader), writer);
    service::serve(joined, agent).await
}

/// A session's end is an everyday thing: only what is neither end nor reset is worth a line.
fn report(ended: io::Result<()>) {
    if let Err(error) = ended {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        if !matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) {
            console::info(format_args!("session ended: {error}"));
        }
    }
}

/// Reads up to the beginning of HTTP/2, echoing hellos; gives the first bytes of it.
async fn accept_hello<S>(stream: &mut S, agent: &Rc<Agent>) -> io::Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut scanner = Scanner::default();
    let mut page = [0; 4096];
    loop {
        let count = stream.read(&mut page).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        scanner.feed(&page[..count]);
        let mut last = None;
        loop {
            match scanner.step() {
                Step::More => break,
                Step::Hello(hello) => last = Some(hello),
                Step::Start(start) => return Ok(start.into()),
            }
        }
        if let Some(hello) = last {
            stream.write_all(&hello.echo()).await?;
            agent.timings.mark_hello();
        }
    }
}

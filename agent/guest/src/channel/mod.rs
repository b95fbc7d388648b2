//! The one byte stream to the host: finds it, and hands on one session after the other on it, for ever.

pub mod find;
mod guard;
pub mod hello;
mod port;
mod vsock;

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::hello::{Scanner, Step};
use self::port::Port;
use self::vsock::VsockListener;
use crate::console;

/// Name of the virtio-serial port and number of the vsock port: both are part of the wire.
pub const PORT_NAME: &str = "dev.kiln.channel";
pub const VSOCK_PORT: u32 = 1024;

/// What a session comes over.
pub trait Connection: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection for T {}

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

    /// Has `session` serve each host that comes, one at a time; `greeted` hears of every hello. Returns only when the
    /// channel itself breaks.
    pub async fn serve(
        &mut self,
        greeted: impl Fn(),
        session: impl AsyncFn(&mut dyn Connection) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            match self {
                Self::Port(port) => {
                    port.connected().await?;
                    let mut connection = port.session();
                    let ended = match accept_hello(&mut connection, &greeted).await {
                        Ok(start) => {
                            connection.begin_frames(&start);
                            session(&mut connection).await
                        }
                        Err(error) => Err(error),
                    };
                    report(ended);
                }
                Self::Vsock(listener) => {
                    let stream = listener.accept().await?;
                    report(serve_stream(stream, &greeted, &session).await);
                }
                #[cfg(feature = "host-test")]
                Self::Unix(listener) => {
                    let (stream, _) = listener.accept().await?;
                    report(serve_stream(stream, &greeted, &session).await);
                }
            }
        }
    }
}

/// One session on a connection of its own.
async fn serve_stream(
    mut stream: impl Connection,
    greeted: &impl Fn(),
    session: &impl AsyncFn(&mut dyn Connection) -> io::Result<()>,
) -> io::Result<()> {
    let start = accept_hello(&mut stream, greeted).await?;
    let (reader, writer) = tokio::io::split(stream);
    session(&mut tokio::io::join(io::Cursor::new(start).chain(reader), writer)).await
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
async fn accept_hello(stream: &mut impl Connection, greeted: &impl Fn()) -> io::Result<Bytes> {
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
            greeted();
        }
    }
}

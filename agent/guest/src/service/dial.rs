//! Dial: a connection from inside the guest to one of its own ports, carried on one call.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};

use crate::grpc::status::{Code, Result, Status};
use crate::grpc::{Call, Replies, Requests};
use crate::proto::dial_request::Message as Ask;
use crate::proto::dial_response::Message as Answer;
use crate::proto::{DialRequest, DialResponse, DialStart};

const MAX_PIECE: usize = 64 << 10;
/// The largest payload of a UDP datagram.
const MAX_DATAGRAM: usize = 65_507;

pub async fn dial(mut call: Call) {
    let (requests, replies) = (&mut call.requests, &mut call.replies);
    let outcome = tokio::select! {
        outcome = run(requests) => outcome,
        () = replies.reset() => return,
    };
    let outcome = match outcome {
        Ok(Connection::Tcp(stream)) => carry_tcp(stream, requests, replies).await,
        Ok(Connection::Udp(socket)) => carry_udp(socket, requests, replies).await,
        Err(status) => Err(status),
    };
    call.finish(outcome).await;
}

enum Connection {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

async fn run(requests: &mut Requests) -> Result<Connection> {
    let first: Option<DialRequest> = requests.next().await?;
    let Some(Ask::Start(start)) = first.and_then(|request| request.message) else {
        return Err(Status::invalid("the first message of Dial is `start`"));
    };
    let targets = targets(&start)?;
    let mut last = None;
    for target in targets {
        let connected = match start.network.as_str() {
            "udp" => connect_udp(target).await.map(Connection::Udp),
            _ => TcpStream::connect(target).await.map(Connection::Tcp),
        };
        match connected {
            Ok(connection) => return Ok(connection),
            Err(error) => last = Some((target, error)),
        }
    }
    let text = last.map_or_else(String::new, |(target, error)| {
        format!("connect to {target} in the guest: {error}")
    });
    Err(Status::new(Code::Unavailable, text))
}

async fn connect_udp(target: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// Where to try, in turn: programs listen on everything, on loopback only, or on the guest's address only.
fn targets(start: &DialStart) -> Result<Vec<SocketAddr>> {
    if !matches!(start.network.as_str(), "tcp" | "udp") {
        return Err(Status::invalid(format!(
            "\"{}\" is neither tcp nor udp",
            start.network.escape_debug()
        )));
    }
    let port = u16::try_from(start.port).ok().filter(|&port| port != 0);
    let port = port.ok_or_else(|| Status::invalid(format!("{} is no port", start.port)))?;
    if !start.host.is_empty() {
        let host: IpAddr = start
            .host
            .parse()
            .map_err(|_| Status::invalid(format!("\"{}\" is no address", start.host.escape_debug())))?;
        return Ok(vec![SocketAddr::new(host, port)]);
    }
    let mut hosts: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into()];
    // UDP "connects" anywhere: the first address has to be the right one.
    if start.network == "tcp" {
        hosts.extend(own_address());
        hosts.push(Ipv6Addr::LOCALHOST.into());
    }
    Ok(hosts
        .into_iter()
        .map(|host| SocketAddr::new(host, port))
        .collect())
}

/// The address from which this guest would speak to the world; no packet is sent to learn it.
fn own_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

async fn carry_tcp(stream: TcpStream, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    // Pieces come as the other side wrote them; holding small ones back would add a delay to each.
    let _ = stream.set_nodelay(true);
    let (reader, mut writer) = stream.into_split();
    send(replies, Answer::Connected(true)).await?;
    let inward = async {
        while let Some(request) = requests.next::<DialRequest>().await? {
            match request.message {
                Some(Ask::Data(bytes)) => {
                    writer
                        .write_all(&bytes)
                        .await
                        .map_err(|error| Status::from_io("write to the guest", error))?;
                }
                Some(Ask::Eof(true)) => break,
                Some(Ask::Start(_)) => return Err(Status::invalid("a second `start`")),
                _ => {}
            }
        }
        // The other half of a connection that its peer has closed already.
        let _ = writer.shutdown().await;
        Ok(())
    };
    let outward = async {
        loop {
            tokio::select! {
                biased;
                () = replies.reset() => return Err(Status::gone()),
                ready = reader.readable() => ready.map_err(unreadable)?,
            }
            // No buffer while nothing comes: there may be a thousand that wait.
            let mut buffer = vec![0; MAX_PIECE];
            loop {
                match reader.try_read(&mut buffer) {
                    Ok(0) => return send(replies, Answer::Eof(true)).await,
                    Ok(count) => {
                        send(replies, Answer::Data(Bytes::copy_from_slice(&buffer[..count]))).await?
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(unreadable(error)),
                }
            }
        }
    };
    // Each direction at its own pace; the first failure ends both.
    let ((), ()) = tokio::try_join!(inward, outward)?;
    Ok(())
}

fn unreadable(error: Error) -> Status {
    Status::new(Code::Unavailable, format!("read from the guest: {error}"))
}

async fn carry_udp(socket: UdpSocket, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    send(replies, Answer::Connected(true)).await?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        tokio::select! {
            () = replies.reset() => return Err(Status::gone()),
            request = requests.next::<DialRequest>() => match request?.map(|request| request.message) {
                None | Some(Some(Ask::Eof(true))) => return Ok(()),
                Some(Some(Ask::Data(datagram))) => {
                    // Lost, as datagrams are: too long, or nobody there.
                    let _ = socket.send(&datagram).await;
                }
                Some(Some(Ask::Start(_))) => return Err(Status::invalid("a second `start`")),
                Some(_) => {}
            },
            received = socket.recv(&mut buffer) => {
                // ECONNREFUSED: nobody listens now; somebody may later.
                if let Ok(count) = received {
                    send(replies, Answer::Data(Bytes::copy_from_slice(&buffer[..count]))).await?;
                }
            }
        }
    }
}

async fn send(replies: &mut Replies, answer: Answer) -> Result<()> {
    replies
        .send(&DialResponse {
            message: Some(answer),
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(network: &str, host: &str, port: u32) -> DialStart {
        DialStart {
            network: network.into(),
            host: host.into(),
            port,
        }
    }

    #[test]
    fn dials_loopback_first_and_then_the_guests_own_address() {
        let targets = targets(&start("tcp", "", 80)).unwrap();
        assert_eq!(targets[0], "127.0.0.1:80".parse().unwrap());
        assert_eq!(*targets.last().unwrap(), "[::1]:80".parse().unwrap());
        assert_eq!(
            super::targets(&start("udp", "", 53)).unwrap(),
            ["127.0.0.1:53".parse().unwrap()]
        );
    }

    #[test]
    fn refuses_what_is_no_target() {
        for bad in [
            start("sctp", "", 80),
            start("tcp", "", 0),
            start("tcp", "", 65_536),
            start("tcp", "name", 1),
        ] {
            assert_eq!(targets(&bad).unwrap_err().code, Code::InvalidArgument);
        }
    }
}

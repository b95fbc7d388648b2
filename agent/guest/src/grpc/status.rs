//! gRPC status: a code and a text for the host.

use std::fmt::Write as _;

/// gRPC's codes, those that the agent gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Cancelled = 1,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: Code,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Status>;

impl Status {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// The session is over: nobody will read this.
    pub fn gone() -> Self {
        Self::new(Code::Cancelled, "the caller has gone")
    }

    /// A system error with what was being attempted: "mount /dev/dm-0: No such device (os error 19)".
    pub fn from_io(what: impl std::fmt::Display, error: impl Into<std::io::Error>) -> Self {
        use std::io::ErrorKind as Kind;
        let error = error.into();
        let code = match error.kind() {
            Kind::NotFound => Code::NotFound,
            Kind::AlreadyExists => Code::AlreadyExists,
            Kind::PermissionDenied => Code::PermissionDenied,
            Kind::StorageFull | Kind::QuotaExceeded | Kind::OutOfMemory => Code::ResourceExhausted,
            Kind::NotADirectory | Kind::IsADirectory | Kind::ReadOnlyFilesystem | Kind::DirectoryNotEmpty => {
                Code::FailedPrecondition
            }
            // A file that changes under its reader.
            Kind::UnexpectedEof => Code::FailedPrecondition,
            Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable => Code::Unavailable,
            Kind::TimedOut => Code::DeadlineExceeded,
            Kind::InvalidInput | Kind::InvalidData => Code::InvalidArgument,
            // Links that lead to each other: the image's own doing.
            _ if error.raw_os_error() == Some(libc::ELOOP) => Code::FailedPrecondition,
            _ => Code::Internal,
        };
        Self::new(code, format!("{what}: {error}"))
    }

    /// The `grpc-message` header: percent-encoded, as the gRPC protocol asks.
    pub fn encoded_message(&self) -> String {
        let mut text = String::with_capacity(self.message.len());
        for &byte in self.message.as_bytes().iter().take(4096) {
            if (b' '..=b'~').contains(&byte) && byte != b'%' {
                text.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    }
}

impl From<prost::DecodeError> for Status {
    fn from(error: prost::DecodeError) -> Self {
        Self::invalid(format!("the message cannot be read: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_what_a_header_cannot_hold() {
        let status = Status::internal("100% of ü\n");
        assert_eq!(status.encoded_message(), "100%25 of %C3%BC%0A");
    }

    #[test]
    fn gives_system_errors_their_code() {
        let error = std::io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(Status::from_io("open /x", error).code, Code::NotFound);
        let error = std::io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(Status::from_io("write /x", error).code, Code::ResourceExhausted);
    }
}

//! How calls end before they have brought all that they should: what was lost, refused, or made no sense.

use bytes::Bytes;

use crate::refusal::Refusal;

/// The member of a call's last message that says that it failed.
const ERROR: &[u8] = b"\"error\"";
/// Reasons of what is gone for the moment, as `src/sdk/outage.ts` has them: a guest that is silent while kilnd answers, ...
const SILENT: [&str; 2] = ["agent-unreachable", "guest-unavailable"];
/// ... and kilnd itself.
const GONE: &str = "unavailable";

/// How a call ended: for one that should have brought more before, why it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// HTTP's; 0 where the connection was lost, or spoke no Connect.
    pub status: u16,
    /// For 200 the status of the call in Connect's JSON, else the body of the refusal.
    pub body: Bytes,
    /// The connection broke, while all that came made sense.
    pub is_lost: bool,
    /// kilnd is there and has answered no ping for too long.
    pub is_silent: bool,
}

impl Failed {
    /// kilnd, or whatever listens there, has answered to the end.
    pub fn answered(status: u16, body: Bytes) -> Self {
        Self {
            status,
            body,
            is_lost: false,
            is_silent: false,
        }
    }

    /// The connection broke: what was asked for may have been done.
    pub fn lost() -> Self {
        Self {
            status: 0,
            body: Bytes::new(),
            is_lost: true,
            is_silent: false,
        }
    }

    /// kilnd gave no sign of life. It is no outage: nobody would bring that kilnd back.
    pub fn silent() -> Self {
        Self {
            is_lost: false,
            is_silent: true,
            ..Self::lost()
        }
    }

    /// The peer made no sense: something else than kilnd. To a user it is as a lost connection.
    pub fn nonsense() -> Self {
        Self {
            is_lost: false,
            ..Self::lost()
        }
    }

    /// What was said, where kilnd has answered with an error.
    pub fn refusal(&self) -> Option<Refusal> {
        Refusal::read(&self.body).filter(|_| self.status != 0)
    }

    /// kilnd, or its way to the guest, is gone for the moment: nothing was refused.
    pub fn is_outage(&self) -> bool {
        let gone = |said: Refusal| said.code == "unavailable" && said.reason == GONE;
        self.is_lost || self.is_guest_silent() || self.refusal().is_some_and(gone)
    }

    /// kilnd answers, but a guest's agent does not: trying again helps who was cut off, and nobody else.
    pub fn is_guest_silent(&self) -> bool {
        let silent = |said: Refusal| said.code == "unavailable" && SILENT.contains(&said.reason.as_str());
        self.refusal().is_some_and(silent)
    }

    /// kilnd has answered to the end, and that with an error.
    pub fn is_refusal(&self) -> bool {
        // Unread but for this: nothing else that Connect has there is so called.
        self.status == 200 && self.body.windows(ERROR.len()).any(|part| part == ERROR)
    }

    /// kilnd has answered to the end, and said all that it had to.
    pub fn is_completion(&self) -> bool {
        self.status == 200 && !self.is_refusal()
    }
}

// What broke says nothing to a user that "the connection was lost" does not say.
impl From<h2::Error> for Failed {
    fn from(error: h2::Error) -> Self {
        if error.is_io() || error.is_remote() {
            Self::lost()
        } else {
            Self::nonsense()
        }
    }
}

impl From<http::Error> for Failed {
    fn from(_: http::Error) -> Self {
        Self::nonsense()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_an_answer_to_the_end_from_a_refusal_and_from_a_loss() {
        let of = |status, body: &'static str| {
            let failed = Failed::answered(status, Bytes::from_static(body.as_bytes()));
            (failed.is_refusal(), failed.is_completion())
        };
        assert_eq!(of(200, "{}"), (false, true));
        assert_eq!(of(200, r#"{"error":{"code":"not_found"}}"#), (true, false));
        assert_eq!(of(404, r#"{"error":{}}"#), (false, false));
        assert_eq!(of(0, ""), (false, false));
    }

    /// 0a 11 "agent-unreachable"
    const SILENT_GUEST: &str = r#"{"error":{"code":"unavailable","details":[{"type":"kiln.v1.ErrorInfo","value":"ChFhZ2VudC11bnJlYWNoYWJsZQ"}]}}"#;

    #[test]
    fn tells_a_silent_guest_from_a_kilnd_that_is_gone() {
        let of = |status, body: &'static str| {
            Failed::answered(status, Bytes::from_static(body.as_bytes())).is_guest_silent()
        };
        assert!(of(200, SILENT_GUEST));
        assert!(!of(200, r#"{"error":{"code":"unavailable"}}"#));
        assert!(!of(0, SILENT_GUEST));
        assert!(!Failed::lost().is_guest_silent());
    }

    #[test]
    fn tells_what_is_gone_for_the_moment_from_what_was_refused() {
        let of = |status, body: &'static str| {
            Failed::answered(status, Bytes::from_static(body.as_bytes())).is_outage()
        };
        assert!(Failed::lost().is_outage());
        assert!(!Failed::nonsense().is_outage());
        assert!(of(200, r#"{"error":{"code":"unavailable"}}"#));
        assert!(of(503, r#"{"code":"unavailable"}"#));
        assert!(of(200, SILENT_GUEST));
        // "vm-ended"
        assert!(!of(
            200,
            r#"{"error":{"code":"unavailable","details":[{"type":"kiln.v1.ErrorInfo","value":"Cgh2bS1lbmRlZA"}]}}"#
        ));
        assert!(!of(200, r#"{"error":{"code":"not_found"}}"#));
        assert!(!of(200, "{}"));
        assert!(!of(404, "who are you?"));
    }
}

//! What kilnd's refusals say to a program: code and reason. Their words are the TypeScript CLI's (`src/sdk/wire-error.ts`).

use bytes::Bytes;
use prost::Message;

use crate::proto::ErrorInfo;

/// An error of Connect's (https://connectrpc.com/docs/protocol/#error-end-stream), as far as anything hangs on it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    pub code: String,
    /// As code where kilnd gave none.
    pub reason: String,
}

impl Refusal {
    /// Of the last message of a call. A quote inside a string is escaped there, so no text can look like a member.
    pub fn read(body: &Bytes) -> Option<Self> {
        let json = std::str::from_utf8(body).ok()?;
        let code = member(json, "code")?;
        let info = json
            .split_once(r#""type":"kiln.v1.ErrorInfo""#)
            .and_then(|(before, after)| member(after, "value").or_else(|| last_member(before, "value")))
            .and_then(decode_base64)
            .and_then(|bytes| ErrorInfo::decode(Bytes::from(bytes)).ok());
        let reason = info.map(|info| info.reason).filter(|reason| !reason.is_empty());
        Some(Self {
            code: code.to_owned(),
            reason: reason.unwrap_or_else(|| code.replace('_', "-")),
        })
    }
}

fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!(r#""{name}":""#))?;
    rest.split_once('"').map(|(value, _)| value)
}

fn last_member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.rsplit_once(&format!(r#""{name}":""#))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// With or without its padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &'static str) -> Option<(String, String)> {
        Refusal::read(&Bytes::from_static(json.as_bytes())).map(|found| (found.code, found.reason))
    }

    #[test]
    fn reads_code_and_reason_and_nothing_that_looks_like_them() {
        let of = |code: &str, reason: &str| Some((code.to_owned(), reason.to_owned()));
        // 0a 08 "vm-ended" 12 04 "look"
        let told = r#"{"error":{"code":"unavailable","message":"\"code\":\"aborted\"","details":[
            {"type":"kiln.v1.ErrorInfo","value":"Cgh2bS1lbmRlZBIEbG9vaw","debug":{"reason":"x"}}]}}"#;
        assert_eq!(read(told), of("unavailable", "vm-ended"));
        let turned = r#"{"error":{"code":"aborted","details":[{"value":"Cgh2bS1lbmRlZBIEbG9vaw==","type":"kiln.v1.ErrorInfo"}]}}"#;
        assert_eq!(read(turned), of("aborted", "vm-ended"));
        let bare = r#"{"error":{"code":"not_found"}}"#;
        assert_eq!(read(bare), of("not_found", "not-found"));
        let broken = r#"{"error":{"code":"internal","details":[{"type":"kiln.v1.ErrorInfo","value":"%"}]}}"#;
        assert_eq!(read(broken), of("internal", "internal"));
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"error":{"code":"cut"#), None);
    }
}

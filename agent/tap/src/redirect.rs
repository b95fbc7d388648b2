//! Makes one cable of a tap and a link by tc(8): what comes in by either goes out by the other. u32, because not every kernel
//! has `matchall`. What a guest asks for its address is answered here, by whoever reads the tap's frames (kiln-lease), and
//! goes no further than to this namespace's stack, where nobody listens.

use std::io;
use std::process::{Command, Output, Stdio};

use crate::options::Answered;

/// Filters are looked at from the lowest on. Those between are for rules of others.
const ANSWERED: [&str; 2] = ["1", "2"];
const REDIRECT: &str = "9";

pub fn join(tc: &str, tap: &str, link: &str, answered: Answered) -> io::Result<()> {
    for (from, to) in [(link, tap), (tap, link)] {
        // Of a VMM that did not come up; there is none at first.
        run(tc, &["qdisc", "del", "dev", from, "ingress"])?;
        must(tc, &["qdisc", "add", "dev", from, "ingress"])?;
        must(tc, &words(from, to))?;
    }
    let [first, second] = ANSWERED;
    if answered.v4 {
        must(tc, &keep_words(tap, first, ["ip", "17", "67"]))?;
    }
    if answered.v6 {
        must(tc, &keep_words(tap, second, ["ip6", "17", "547"]))?;
    }
    Ok(())
}

/// By a class and no action, which not every kernel has another of. @param asked the header's name, the protocol and the server's port
fn keep_words<'a>(tap: &'a str, at: &'a str, asked: [&'a str; 3]) -> Vec<&'a str> {
    let [header, protocol, port] = asked;
    let kind = if header == "ip" { "ip" } else { "ipv6" };
    let filter = [
        "filter", "add", "dev", tap, "parent", "ffff:", "protocol", kind, "prio", at, "u32",
    ];
    let from = ["match", header, "protocol", protocol, "0xff"];
    let to = ["match", header, "dport", port, "0xffff", "flowid", ":1"];
    [&filter[..], &from, &to].concat()
}

fn words<'a>(from: &'a str, to: &'a str) -> Vec<&'a str> {
    let filter = ["filter", "add", "dev", from, "parent", "ffff:", "protocol", "all"];
    let all = ["prio", REDIRECT, "u32", "match", "u8", "0", "0"];
    let action = ["action", "mirred", "egress", "redirect", "dev", to];
    [&filter[..], &all, &action].concat()
}

fn must(tc: &str, words: &[&str]) -> io::Result<()> {
    let output = run(tc, words)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default();
    Err(io::Error::other(format!("tc {}: {said}", words.join(" "))))
}

fn run(tc: &str, words: &[&str]) -> io::Result<Output> {
    let output = Command::new(tc).args(words).stdin(Stdio::null()).output();
    output.map_err(|error| io::Error::new(error.kind(), format!("{tc}: {error}")))
}

//! Makes one cable of a tap and a link by tc(8): what comes in by either goes out by the other. u32, because not every kernel
//! has `matchall`.

use std::io;
use std::process::{Command, Output, Stdio};

pub fn join(tc: &str, tap: &str, link: &str) -> io::Result<()> {
    for (from, to) in [(link, tap), (tap, link)] {
        // Of a VMM that did not come up; there is none at first.
        run(tc, &["qdisc", "del", "dev", from, "ingress"])?;
        must(tc, &["qdisc", "add", "dev", from, "ingress"])?;
        must(tc, &words(from, to))?;
    }
    Ok(())
}

fn words<'a>(from: &'a str, to: &'a str) -> Vec<&'a str> {
    let filter = ["filter", "add", "dev", from, "parent", "ffff:", "protocol", "all"];
    let all = ["u32", "match", "u8", "0", "0"];
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

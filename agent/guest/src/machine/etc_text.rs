//! What /etc/hosts and /etc/resolv.conf say, and which names may stand there. Pure.

use crate::grpc::status::{Result, Status};
use crate::proto::{Dns, HostEntry};

/// Of a name whose machine has no address.
pub const NOWHERE: &str = "127.0.1.1";

/// The text of /etc/hosts. `own` is the address that the guest's name gets.
pub fn hosts_file(hostname: &str, own: Option<&str>, entries: &[HostEntry]) -> Result<String> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    if !hostname.is_empty() {
        // "web.example.com" is "web" too, as Docker has it.
        let alias = hostname.split_once('.').map_or("", |(short, _)| short);
        let names = [hostname, alias].join(" ");
        text += &format!("{}\t{}\n", own.unwrap_or(NOWHERE), names.trim_end());
    }
    Ok(text + &host_lines(entries)?)
}

/// One line for each of them.
pub fn host_lines(entries: &[HostEntry]) -> Result<String> {
    let mut text = String::new();
    for entry in entries {
        for word in entry.names.iter().chain([&entry.address]) {
            check_word("a host entry", word)?;
        }
        text += &format!("{}\t{}\n", entry.address, entry.names.join(" "));
    }
    Ok(text)
}

pub fn resolv_conf(dns: &Dns) -> Result<String> {
    let mut text = String::new();
    for word in dns.servers.iter().chain(&dns.search).chain(&dns.options) {
        check_word("a resolver entry", word)?;
    }
    for server in &dns.servers {
        text += &format!("nameserver {server}\n");
    }
    for (name, words) in [("search", &dns.search), ("options", &dns.options)] {
        if !words.is_empty() {
            text += &format!("{name} {}\n", words.join(" "));
        }
    }
    Ok(text)
}

/// One word: anything else could add lines of its own.
fn check_word(what: &str, word: &str) -> Result<()> {
    let plain =
        !word.is_empty() && word.len() <= 255 && word.chars().all(|one| one.is_ascii_graphic() && one != '#');
    if plain {
        Ok(())
    } else {
        Err(Status::invalid(format!(
            "\"{}\" is not {what}",
            word.escape_debug()
        )))
    }
}

/// A host name that the kernel and /etc/hosts both take.
pub fn check_hostname(name: &str) -> Result<()> {
    let plain = name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if plain {
        Ok(())
    } else {
        Err(Status::invalid(format!(
            "\"{}\" is no host name",
            name.escape_debug()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_guest_and_the_hosts_it_was_told_of() {
        let entries = [HostEntry {
            address: "10.0.0.7".into(),
            names: vec!["db".into(), "db.local".into()],
        }];
        let text = hosts_file("vm1", Some("10.0.2.15"), &entries).unwrap();
        assert!(
            text.ends_with("10.0.2.15\tvm1\n10.0.0.7\tdb db.local\n"),
            "{text}"
        );
        for (hostname, line) in [
            ("vm1", "127.0.1.1\tvm1\n"),
            ("web.example.com", "127.0.1.1\tweb.example.com web\n"),
            ("a_b", "127.0.1.1\ta_b\n"),
        ] {
            assert!(hosts_file(hostname, None, &[]).unwrap().ends_with(line), "{line}");
        }
    }

    #[test]
    fn no_entry_brings_lines_of_its_own() {
        for bad in ["a\nb", "", "a b", "a#b", "\u{e4}"] {
            let entries = [HostEntry {
                address: "10.0.0.7".into(),
                names: vec![bad.into()],
            }];
            assert!(hosts_file("vm", None, &entries).is_err(), "{bad:?}");
            let dns = Dns {
                servers: vec![bad.into()],
                ..Default::default()
            };
            assert!(resolv_conf(&dns).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn writes_a_resolver_file() {
        let dns = Dns {
            servers: vec!["10.0.2.3".into()],
            search: vec!["a.example".into(), "example".into()],
            options: vec!["ndots:2".into()],
        };
        assert_eq!(
            resolv_conf(&dns).unwrap(),
            "nameserver 10.0.2.3\nsearch a.example example\noptions ndots:2\n"
        );
        assert_eq!(resolv_conf(&Dns::default()).unwrap(), "");
    }

    #[test]
    fn takes_host_names_only() {
        for good in ["vm-1.example", "a_b", &"x".repeat(64)] {
            assert!(check_hostname(good).is_ok(), "{good}");
        }
        for bad in ["a b", "a\n", "ü", &"x".repeat(65)] {
            assert!(check_hostname(bad).is_err(), "{bad:?}");
        }
    }
}

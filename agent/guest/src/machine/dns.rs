//! /etc/hosts, /etc/hostname and /etc/resolv.conf.
//!
//! In app mode ours are laid over the image's, which stay as they are below: they live on a small tmpfs that the root
//! cannot see, and only the bind mounts show. In system mode the root belongs to its init: hostnamectl, resolvconf and
//! NetworkManager replace these files by a rename, which a mount point refuses. There they are the root's own files,
//! written before the init starts.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::mount::{MountFlags, mount_bind};

use super::{paths, written};
use crate::console;
use crate::grpc::status::{Result, Status};
use crate::mount::{self, Mounts};
use crate::proto::{Dns, HostEntry, Mode};

/// Where no path of the guest leads once the root is entered.
pub const HIDDEN: &str = "/placed";
const HOSTS: &str = "/etc/hosts";
const HOSTNAME: &str = "/etc/hostname";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// linux/magic.h
const TMPFS: i64 = 0x0102_1994;

/// What may be changed later. Empty until the root is there.
#[derive(Default)]
pub struct Placed {
    resolv: Option<Resolv>,
}

enum Resolv {
    /// The host has mounted its own there.
    Others,
    /// The image's own is in force.
    Ready(Mode, File),
    Ours(Ours),
}

/// How a reader finds our text.
enum Ours {
    Laid(File),
    /// In a file of the root's, and this is it.
    Written(String),
}

/// The files, made before the root is entered (afterwards there is no place that the root cannot see).
pub struct Prepared {
    hosts: File,
    hostname: File,
    resolv: File,
}

impl Prepared {
    pub fn new() -> io::Result<Self> {
        fs::DirBuilder::new().mode(0o755).create(HIDDEN)?;
        rustix::mount::mount(
            "tmpfs",
            HIDDEN,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            c"mode=0755,size=4m",
        )?;
        let make = |name: &str| {
            let path = Path::new(HIDDEN).join(name);
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(path)
        };
        Ok(Self {
            hosts: make("hosts")?,
            hostname: make("hostname")?,
            resolv: make("resolv.conf")?,
        })
    }

    /// Brings the files into the root. To be called inside it. An image whose own files leave no place for one of them
    /// (a directory, a loop of links) goes without it, and boots.
    /// One on which the host has mounted something stays as that is.
    pub fn place(
        self,
        (mode, mounts): (Mode, &Mounts),
        hostname: &str,
        hosts: &str,
        dns: Option<&Dns>,
    ) -> Result<Placed> {
        let is_free = |target: &str| !mounts.is_at(&mount::place_of(target));
        if is_free(HOSTS) {
            put_or_tell(mode, &self.hosts, hosts, HOSTS);
        }
        if !hostname.is_empty() && is_free(HOSTNAME) {
            put_or_tell(mode, &self.hostname, &format!("{hostname}\n"), HOSTNAME);
        }
        if !is_free(RESOLV_CONF) {
            return Ok(Placed {
                resolv: Some(Resolv::Others),
            });
        }
        let ours = match dns {
            Some(dns) => put_or_tell(mode, &self.resolv, &resolv_conf(dns)?, RESOLV_CONF),
            None => None,
        };
        let resolv = ours.map_or_else(|| Resolv::Ready(mode, self.resolv), Resolv::Ours);
        Ok(Placed { resolv: Some(resolv) })
    }
}

impl Placed {
    /// Changes the resolver of a running guest.
    pub fn change_dns(&mut self, dns: &Dns) -> Result<()> {
        let text = resolv_conf(dns)?;
        let failed = |error: io::Error| Status::from_io(format_args!("change {RESOLV_CONF}"), error);
        let ours = match self.resolv.take() {
            Some(Resolv::Others) => {
                self.resolv = Some(Resolv::Others);
                return Ok(());
            }
            Some(Resolv::Ours(Ours::Laid(mut file))) => {
                rewrite(&mut file, &text).map_err(failed)?;
                Ours::Laid(file)
            }
            Some(Resolv::Ours(Ours::Written(before))) => {
                written::rewrite(Path::new("/"), Path::new(RESOLV_CONF), &before, &text).map_err(failed)?;
                Ours::Written(text)
            }
            Some(Resolv::Ready(mode, file)) => put(mode, &file, &text, RESOLV_CONF)?,
            None => return Err(Status::precondition("the guest has no root yet")),
        };
        self.resolv = Some(Resolv::Ours(ours));
        Ok(())
    }
}

/// Puts `text` where a reader of `target` finds it.
fn put(mode: Mode, file: &File, text: &str, target: &str) -> Result<Ours> {
    if mode == Mode::System {
        match written::write(Path::new("/"), Path::new(target), text) {
            Ok(()) => return Ok(Ours::Written(text.to_owned())),
            // A root that takes no file can still be laid over.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
            Err(error) => return Err(Status::from_io(format_args!("write {target}"), error)),
        }
    }
    lay(file, text, target).map(Ours::Laid)
}

fn put_or_tell(mode: Mode, file: &File, text: &str, target: &str) -> Option<Ours> {
    put(mode, file, text, target)
        .inspect_err(|status| console::error(format_args!("{}", status.message)))
        .ok()
}

/// Writes `text` where a reader of `target` finds it; gives the file to change later.
fn lay(file: &File, text: &str, target: &str) -> Result<File> {
    file.try_clone()
        .and_then(|mut file| rewrite(&mut file, text).map(|()| file))
        .and_then(|file| cover(file, text, target))
        .map_err(|error| Status::from_io(format_args!("lay {target} over the image's"), error))
}

fn rewrite(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}

/// Binds `file` over what `target` leads to; makes an empty file to bind over where there is none, as Docker does.
fn cover(file: File, text: &str, target: &str) -> io::Result<File> {
    let target = paths::place_of_file(Path::new("/"), Path::new(target))?;
    if !written::is_file_or_missing(&target)? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "something else is in its place",
        ));
    }
    if !target.exists() {
        let mut made = File::create(&target)?;
        // As short-lived as ours: writing it leaves its owner (systemd-resolved) free to replace it, which a mount
        // point is not.
        if is_tmpfs(&made) {
            return made.write_all(text.as_bytes()).map(|()| made);
        }
    }
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    mount_bind(source.as_str(), &target)?;
    Ok(file)
}

fn is_tmpfs(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type == TMPFS)
}

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
        text += &format!("{}\t{}\n", own.unwrap_or("127.0.1.1"), names.trim_end());
    }
    for entry in entries {
        for word in entry.names.iter().chain([&entry.address]) {
            check_word("a host entry", word)?;
        }
        text += &format!("{}\t{}\n", entry.address, entry.names.join(" "));
    }
    Ok(text)
}

fn resolv_conf(dns: &Dns) -> Result<String> {
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

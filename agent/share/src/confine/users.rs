//! Who the server is: never the host's root; in a user namespace of its own, where it may make the others.

use std::fs;
use std::io::{Read, Write};

use rustix::io::Errno;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::refused::Refused;
use crate::map::Map;

/// False: there is no namespace of its own, and it stays who it was.
pub fn enter(map: Map) -> Result<bool, Refused> {
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    match map {
        Map::Squash { .. } => {
            if outside(uid)? == 0 {
                return Err(Refused(
                    "it never serves as the host's root: start it as the directory's owner".into(),
                ));
            }
            if unshare(UnshareFlags::NEWUSER).is_err() {
                return Ok(false);
            }
            let itself = |id: u32| format!("{id} {id} 1\n");
            let maps = [
                ("setgroups", "deny".to_owned()),
                ("uid_map", itself(uid)),
                ("gid_map", itself(gid)),
            ];
            for (file, text) in maps {
                fs::write(format!("/proc/self/{file}"), text).map_err(|error| failed(file, &error))?;
            }
            Ok(true)
        }
        Map::Range { guest, host, count } => {
            let mut mapper = Mapper::start(&format!("{guest} {host} {count}\n"))?;
            unshare(UnshareFlags::NEWUSER).map_err(|errno| failed("a user namespace", &errno.into()))?;
            mapper.map()?;
            become_first(guest).map_err(|errno| failed("the first user of its range", &errno.into()))?;
            Ok(true)
        }
    }
}

pub fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: this process has one thread, and takes no descriptor out of a shared table.
    unsafe { unshare_unsafe(flags) }
}

fn failed(what: &str, error: &std::io::Error) -> Refused {
    Refused(format!("{what}: {error}"))
}

/// What an id is where this user namespace was made.
fn outside(uid: u32) -> Result<u32, Refused> {
    let text =
        fs::read_to_string("/proc/self/uid_map").map_err(|error| failed("/proc/self/uid_map", &error))?;
    Ok(outside_of(&text, uid).unwrap_or(uid))
}

fn outside_of(map: &str, uid: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u32>().ok());
        let (inside, outside, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let at = uid.checked_sub(inside).filter(|&at| at < count)?;
        outside.checked_add(at)
    })
}

/// A child that stays outside: only there can a map of many ids be written.
struct Mapper {
    pid: libc::pid_t,
    go: Option<std::io::PipeWriter>,
}

impl Mapper {
    fn start(text: &str) -> Result<Self, Refused> {
        let (mut wait, go) = std::io::pipe().map_err(|error| failed("a pipe", &error))?;
        let parent = rustix::process::getpid().as_raw_nonzero();
        // SAFETY: this process has one thread: the child may do what it likes.
        let pid = unsafe { libc::fork() };
        if pid < 0 {
            return Err(failed(
                "a child to write its map",
                &std::io::Error::last_os_error(),
            ));
        }
        if pid > 0 {
            return Ok(Self { pid, go: Some(go) });
        }
        drop(go);
        let told = wait.read_exact(&mut [0]);
        let written = told.and_then(|()| {
            fs::write(format!("/proc/{parent}/uid_map"), text)?;
            fs::write(format!("/proc/{parent}/gid_map"), text)
        });
        // SAFETY: ends the child, and runs nothing of the parent's.
        unsafe { libc::_exit(i32::from(written.is_err())) }
    }

    fn map(&mut self) -> Result<(), Refused> {
        let told = self.go.take().map(|mut go| go.write_all(&[1]));
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        let waited = unsafe { libc::waitpid(self.pid, &mut status, 0) };
        match (told, waited == self.pid && status == 0) {
            (Some(Ok(())), true) => Ok(()),
            _ => Err(Refused(
                "its range of ids cannot be mapped: that takes the host's root".into(),
            )),
        }
    }
}

/// From the host's root, which has no name in the namespace, to the range's first. Only this thread is there.
fn become_first(id: u32) -> Result<(), Errno> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (uid, gid) = (
        rustix::process::Uid::from_raw(id),
        rustix::process::Gid::from_raw(id),
    );
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_who_a_user_is_outside() {
        assert_eq!(outside_of("         0          0 4294967295\n", 0), Some(0));
        assert_eq!(outside_of("0 1000 1\n1 100000 65536\n", 0), Some(1000));
        assert_eq!(outside_of("0 1000 1\n1 100000 65536\n", 5), Some(100_004));
        assert_eq!(outside_of("0 1000 1\n", 7), None);
    }
}

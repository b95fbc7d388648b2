//! A name in a directory, where something is to be made or removed.

use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Gid, Stat, Uid, chownat};
use rustix::io::Errno;

use crate::ledger::Note;
use crate::names;
use crate::node::Node;
use crate::state::{Share, State};

pub struct Place<'a> {
    pub dir: Arc<Node>,
    pub name: &'a [u8],
}

impl<'a> Place<'a> {
    /// The share takes changes of names, and the name is one.
    pub fn new(state: &State, fid: u32, name: &'a [u8]) -> Result<Self, Errno> {
        names::check(name)?;
        let dir = state.directory(fid)?;
        state.share.check_names_change()?;
        state.share.check_inside(&dir)?;
        Ok(Self { dir, name })
    }

    pub fn look(&self) -> Result<Node, Errno> {
        self.dir.child(self.name)
    }

    pub fn is_free(&self) -> Result<(), Errno> {
        match self.look() {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Whose something new is, where owners are real.
#[derive(Clone, Copy)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl Owner {
    /// By descriptor: the name may be another thing's by now.
    pub fn give(self, share: &Share, node: &Node) -> Result<(), Errno> {
        if !share.owners.are_real() {
            return Ok(());
        }
        chownat(
            node.fd(),
            "",
            Some(Uid::from_raw(self.uid)),
            gid_of(self.gid),
            AtFlags::EMPTY_PATH,
        )
    }
}

/// The protocol's "leave it" is -1.
pub fn gid_of(gid: u32) -> Option<Gid> {
    (gid != u32::MAX).then(|| Gid::from_raw(gid))
}

/// setuid and setgid would make a program of the host's, for the host's users: the guest cannot set them. On directories
/// setgid hands on a group and nothing more.
pub fn clean_mode(mode: u32, kind: FileType) -> u32 {
    mode & if kind == FileType::Directory {
        0o3777
    } else {
        0o1777
    }
}

/// True where `node` may be what a server that died had just made: the ledger has no inode of it, because the kernel
/// makes it and its name at once. The name was free when that began.
pub fn is_made_since(share: &Share, note: &Note, node: &Node, kind: FileType) -> Result<bool, Errno> {
    let stat: Stat = node.stat()?;
    let fresh = stat.st_ctime as u64 >= note.at;
    Ok(node.kind == kind && fresh && (share.owners.are_real() || share.owners.owns(&stat)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_what_makes_a_program_somebody_elses() {
        assert_eq!(clean_mode(0o106755, FileType::RegularFile), 0o755);
        assert_eq!(clean_mode(0o43775, FileType::Directory), 0o3775);
        assert_eq!(clean_mode(0o47777, FileType::Directory), 0o3777);
    }
}

//! The agent's side of a share: starts its bridge, hears how it is, unmounts it.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::process::NAME;
use super::spec::{ShareSpec, Task};
use super::words::{AWAY, BACK, END, FAILED, MOUNTED};
use crate::grpc::status::{Code, Result, Status};
use crate::process::io::FdStream;

/// What the process may need to end a mount that does not come.
const TO_GIVE_UP: Duration = Duration::from_secs(10);

/// A share that is there. Dropping this leaves it mounted.
pub struct Mounted {
    control: Rc<FdStream>,
    is_away: Rc<Cell<bool>>,
}

/// Mounts the share at `target`, a directory that is there. Returns once the server has answered.
///
/// FAILED_PRECONDITION where the kernel can't, or no server has answered `within`. To be called inside the
/// root that it is for, from the agent's one thread.
pub async fn mount(spec: &ShareSpec, target: &Path, within: Duration) -> Result<Mounted> {
    let task = Task {
        spec: spec.clone(),
        target: target.to_owned(),
        within,
    };
    let failed = |error: std::io::Error| Status::from_io("start the share's bridge", error);
    let flags = SocketFlags::CLOEXEC;
    let (own, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|error| failed(error.into()))?;
    let control = Rc::new(FdStream::new(own).map_err(failed)?);
    let bridge = start(&task, theirs).map_err(failed)?;
    let mut word = [0; 1024];
    let count = timeout(within + TO_GIVE_UP, control.read(&mut word)).await;
    match count
        .ok()
        .and_then(std::result::Result::ok)
        .map(|count| &word[..count])
    {
        Some([MOUNTED, ..]) => Ok(Mounted::new(control, bridge)),
        Some([FAILED, text @ ..]) => {
            let text = String::from_utf8_lossy(text).into_owned();
            Err(Status::new(Code::FailedPrecondition, text))
        }
        _ => Err(Status::new(Code::Unavailable, "the share's bridge has ended")),
    }
}

/// A bridge's process, while it may be there.
struct Bridge(i32);

impl Drop for Bridge {
    fn drop(&mut self) {
        // Its number may be another process's by now, which is to be ended with the guest's.
        BRIDGES.with_borrow_mut(|bridges| bridges.retain(|&pid| pid != self.0));
    }
}

thread_local! {
    /// Processes of the bridges that have not said that they end.
    static BRIDGES: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) };
}

/// Those that must outlive the guest's programs: what these have written is still to be brought to the host.
pub fn bridges() -> Vec<i32> {
    BRIDGES.with_borrow(Clone::clone)
}

/// Whoever reaps does so: what its end means is told by its socket.
fn start(task: &Task, control: OwnedFd) -> std::io::Result<Bridge> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(NAME)
        .args(task.to_args())
        .env_clear()
        .current_dir("/");
    let child = command.stdin(Stdio::from(control)).spawn()?;
    let pid = child.id() as i32;
    BRIDGES.with_borrow_mut(|bridges| bridges.push(pid));
    Ok(Bridge(pid))
}

impl Mounted {
    fn new(control: Rc<FdStream>, bridge: Bridge) -> Self {
        let is_away = Rc::new(Cell::new(false));
        let (heard, away) = (control.clone(), is_away.clone());
        spawn_local(async move {
            let mut word = [0; 16];
            loop {
                match heard.read(&mut word).await {
                    Ok(count) if count > 0 => match word[0] {
                        AWAY => away.set(true),
                        BACK => away.set(false),
                        _ => {}
                    },
                    // The bridge has ended, and the mount is dead.
                    _ => {
                        drop(bridge);
                        return away.set(true);
                    }
                }
            }
        });
        Self { control, is_away }
    }

    /// True while no server answers.
    pub fn is_away(&self) -> bool {
        self.is_away.get()
    }

    /// Nothing waits for a server any longer from now on: what would, fails with EIO after some seconds. To be called
    /// before the guest's end syncs and unmounts, which would wait for ever otherwise.
    pub fn end(&self) {
        // Refused where the bridge has ended: then nothing waits.
        let _ = rustix::io::write(&*self.control, &[END]);
    }
}

//! Signals to PID 1: how programs of the guest ask for the machine's end when there is no init to ask.

use std::rc::Rc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;

use crate::agent::Agent;
use crate::machine::system;
use crate::process::RTMIN;
use crate::proto::GuestRequest;
use crate::role::Role;

/// What each signal asks an init for: busybox's and sysvinit's words, then systemd's.
const ASKS: [(i32, GuestRequest); 8] = [
    (libc::SIGTERM, GuestRequest::Reboot),
    // Ctrl-Alt-Del, by the keyboard or by the VMM.
    (libc::SIGINT, GuestRequest::Reboot),
    (libc::SIGUSR1, GuestRequest::Poweroff),
    (libc::SIGUSR2, GuestRequest::Poweroff),
    (libc::SIGPWR, GuestRequest::Poweroff),
    (RTMIN + 3, GuestRequest::Poweroff),
    (RTMIN + 4, GuestRequest::Poweroff),
    (RTMIN + 5, GuestRequest::Reboot),
];

/// Listens for all of them, for ever.
pub fn listen(agent: &Rc<Agent>) -> std::io::Result<()> {
    for (number, request) in ASKS {
        let mut asked = signal(SignalKind::from_raw(number))?;
        let agent = agent.clone();
        spawn_local(async move {
            while asked.recv().await.is_some() {
                hear(&agent, number, request);
            }
        });
    }
    Ok(())
}

fn hear(agent: &Rc<Agent>, number: i32, request: GuestRequest) {
    match agent.role() {
        Role::Init => {
            agent.exit.ask(request);
            let (signal, patience) = agent.own_stop.get();
            // Without a program there is nothing to stop, and the host decides.
            if let Ok(program) = agent.program() {
                let _ = program.stop(signal, patience);
            }
        }
        // An init that knows nothing of us ends everybody before it ends the machine.
        Role::BesideInit if number == libc::SIGTERM => system::on_terminated(agent),
        Role::BesideInit | Role::Host => {}
    }
}

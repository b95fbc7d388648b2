//! How the guest's program ended: said once, to any number who wait for it.

use std::cell::Cell;

use crate::clock;
use crate::once::Once;
use crate::proto::{ExitStatus, GuestRequest};

#[derive(Default)]
pub struct Exit {
    status: Once<ExitStatus>,
    /// What the guest itself asked for before.
    asked: Cell<GuestRequest>,
}

impl Exit {
    /// Notes what the guest asks for, which its end is told with.
    pub fn ask(&self, request: GuestRequest) {
        self.asked.set(request);
    }

    /// Publishes how it ended, once; what comes later changes nothing.
    pub fn publish(&self, mut status: ExitStatus) {
        if status.request == GuestRequest::Unspecified as i32 {
            status.request = self.asked.get() as i32;
        }
        status.finished_unix_ns = clock::realtime_ns();
        self.status.set(status);
    }

    pub fn get(&self) -> Option<ExitStatus> {
        self.status.get()
    }

    pub async fn wait(&self) -> ExitStatus {
        self.status.wait().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_first_end_with_what_the_guest_asked_for() {
        let exit = Exit::default();
        exit.ask(GuestRequest::Reboot);
        for code in [7, 9] {
            exit.publish(ExitStatus {
                code,
                ..Default::default()
            });
        }
        let told = exit.get().unwrap();
        assert_eq!((told.code, told.request()), (7, GuestRequest::Reboot));
    }

    #[test]
    fn an_end_that_says_what_is_asked_for_is_believed() {
        let exit = Exit::default();
        exit.ask(GuestRequest::Reboot);
        exit.publish(ExitStatus {
            request: GuestRequest::Poweroff as i32,
            ..Default::default()
        });
        assert_eq!(exit.get().unwrap().request(), GuestRequest::Poweroff);
    }
}

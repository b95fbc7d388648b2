//! How anything beside the main program starts: an exec, or an extra program.

use crate::aside::LOOKS;
use crate::machine::cgroup::Cgroup;
use crate::process::plan::{self, StartFailure};
use crate::process::reaper::Reaper;
use crate::process::spawn::{self, Child};
use crate::proto::ProcessSpec;

pub async fn start(
    spec: &ProcessSpec,
    cgroup: Option<&Cgroup>,
    reaper: &Reaper,
) -> Result<Child, StartFailure> {
    // The guest's own files say who a user is, and they may be anything by now.
    let spec = spec.clone();
    let planned = LOOKS.briefly(move || Ok(plan::plan(&spec))).await;
    let plan = planned.map_err(|status| StartFailure::cannot(status.message))??;
    spawn::spawn(&plan, cgroup, reaper).await
}

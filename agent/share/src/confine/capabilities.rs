//! None; or over files of the guest's own ids, where it has some.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// More than there will be.
const LAST: i32 = 63;

/// @param real the guest's users own their files: the server makes and changes files for any of them
pub fn keep(real: bool) -> Result<(), Errno> {
    let kept = if real {
        CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER
    } else {
        CapabilitySet::empty()
    };
    for number in 0..=LAST {
        // SAFETY: passes numbers. It fails for those that there are not, and where it never had the right to.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
    }
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
}

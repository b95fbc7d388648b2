//! An LD_PRELOAD library for the program that carries a guest's packets into the host's network (passt, pasta, QEMU's
//! slirp), which would otherwise connect the guest to whatever listens on the host's loopback or serves the host its
//! secrets at a link-local address. It stands in front of the four calls by which such a program names a destination and
//! refuses closed ones with ECONNREFUSED, which the guest sees as a reset: those that are closed to all, and those that the
//! VM's own policy does not open. It counts them. It knows nothing of the program; it tells kilnd that it is loaded, in
//! whom, and with which policy.

mod count;
mod egress;
mod policy;

use egress::Protocol;
use libc::{c_int, c_uint, c_void, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t};
use policy::Policy;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

/// Names the resolvers that stay reachable at closed addresses.
const ALLOW_VARIABLE: &str = "KILN_NETGUARD_ALLOW";
/// What the VM may reach (egress.rs). Without it nothing.
const EGRESS_VARIABLE: &str = "KILN_NETGUARD_EGRESS";
/// The number of a descriptor of a file in which refusals are counted (count.rs).
const COUNT_VARIABLE: &str = "KILN_NETGUARD_COUNT";
/// The number of a descriptor to which two lines are written: a summary of the policy, and the program's path.
const ANNOUNCE_VARIABLE: &str = "KILN_NETGUARD_ANNOUNCE";

fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| {
        let allowed = std::env::var(ALLOW_VARIABLE).unwrap_or_default();
        Policy::parse(&allowed, std::env::var(EGRESS_VARIABLE).ok().as_deref())
    })
}

/// A descriptor that the environment names.
fn descriptor(variable: &str) -> Option<c_int> {
    std::env::var(variable).ok()?.parse::<c_int>().ok()
}

/// Runs before the program's main: a program that confines itself could neither read its environment nor get memory at
/// its first packet.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    policy();
    if let Some(fd) = descriptor(COUNT_VARIABLE) {
        count::open(fd);
    }
    if let Some(fd) = descriptor(ANNOUNCE_VARIABLE) {
        announce_to(fd);
    }
}

/// The dynamic loader only warns when it can't preload a library: this is how kilnd knows that it did.
fn announce_to(fd: c_int) {
    let Ok(program) = std::fs::read_link("/proc/self/exe") else {
        return;
    };
    let mut lines = format!("egress {}\n", policy().egress().summary()).into_bytes();
    lines.extend(program.into_os_string().into_encoded_bytes());
    lines.push(b'\n');
    // SAFETY: `lines` is readable for its length. A failed write tells nobody anything: kilnd then ends the program.
    unsafe { libc::write(fd, lines.as_ptr().cast::<c_void>(), lines.len()) };
}

/// The IP destination in a C socket address; None for other families (unix, netlink), which are no concern here.
///
/// # Safety
/// `address` is null or points to `length` readable bytes, as connect(2) asks of its caller.
unsafe fn ip_destination(address: *const sockaddr, length: socklen_t) -> Option<SocketAddr> {
    let length = length as usize;
    if address.is_null() || length < size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: at least the family is there (checked above); the reads need no alignment.
    let family = c_int::from(unsafe { (address as *const libc::sa_family_t).read_unaligned() });
    match family {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: `length` covers a sockaddr_in.
            let v4 = unsafe { (address as *const libc::sockaddr_in).read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        // The kernel takes a sockaddr_in6 without its scope id (SIN6_LEN_RFC2133, 24 bytes) too.
        libc::AF_INET6 if length >= IN6_WITHOUT_SCOPE => {
            // SAFETY: `length` covers family, port, flow and address; nothing after them is read.
            let (port, octets) = unsafe {
                let bytes = address as *const u8;
                (
                    (bytes.add(2) as *const u16).read_unaligned(),
                    (bytes.add(8) as *const [u8; 16]).read(),
                )
            };
            Some(SocketAddr::from((
                Ipv6Addr::from(octets),
                u16::from_be(port),
            )))
        }
        _ => None,
    }
}

const IN6_WITHOUT_SCOPE: usize = 24;

/// # Safety
/// As for [`ip_destination`].
unsafe fn refuses(fd: c_int, address: *const sockaddr, length: socklen_t) -> bool {
    // SAFETY: passed on to our own caller.
    unsafe { ip_destination(address, length) }
        .is_some_and(|destination| policy().refuses(destination, || protocol_of(fd)))
}

/// Of a socket; None for one without ports, and for what can't be asked.
fn protocol_of(fd: c_int) -> Option<Protocol> {
    let mut protocol: c_int = 0;
    let mut length = size_of::<c_int>() as socklen_t;
    // SAFETY: both point to what they say, for the length of the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_getsockopt,
            fd,
            libc::SOL_SOCKET,
            libc::SO_PROTOCOL,
            &raw mut protocol,
            &raw mut length,
        )
    };
    match protocol {
        _ if result != 0 => None,
        libc::IPPROTO_TCP => Some(Protocol::Tcp),
        libc::IPPROTO_UDP => Some(Protocol::Udp),
        _ => None,
    }
}

/// # Safety
/// `message` is null or points to a msghdr whose name, if any, covers its length.
unsafe fn refuses_message(fd: c_int, message: *const msghdr) -> bool {
    if message.is_null() {
        return false;
    }
    // SAFETY: non-null and, by our caller's promise, valid.
    unsafe {
        refuses(
            fd,
            (*message).msg_name as *const sockaddr,
            (*message).msg_namelen,
        )
    }
}

fn refuse() -> c_int {
    count::one();
    // SAFETY: errno is this thread's own.
    unsafe { *libc::__errno_location() = libc::ECONNREFUSED };
    -1
}

/// connect(2), except to closed addresses.
///
/// # Safety
/// The C contract of connect(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    // SAFETY: the arguments are the caller's own, unchanged.
    unsafe {
        if refuses(fd, address, length) {
            return refuse();
        }
        libc::syscall(libc::SYS_connect, fd, address, length) as c_int
    }
}

/// sendto(2), except to closed addresses. A null address (a connected socket) passes: connect stood in front of it.
///
/// # Safety
/// The C contract of sendto(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendto(
    fd: c_int,
    data: *const c_void,
    size: size_t,
    flags: c_int,
    address: *const sockaddr,
    length: socklen_t,
) -> ssize_t {
    // SAFETY: the arguments are the caller's own, unchanged.
    unsafe {
        if refuses(fd, address, length) {
            return refuse() as ssize_t;
        }
        libc::syscall(libc::SYS_sendto, fd, data, size, flags, address, length) as ssize_t
    }
}

/// sendmsg(2), except to closed addresses.
///
/// # Safety
/// The C contract of sendmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the arguments are the caller's own, unchanged.
    unsafe {
        if refuses_message(fd, message) {
            return refuse() as ssize_t;
        }
        libc::syscall(libc::SYS_sendmsg, fd, message, flags) as ssize_t
    }
}

/// sendmmsg(2): refused whole where any message of the batch goes to a closed address.
///
/// # Safety
/// The C contract of sendmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmmsg(
    fd: c_int,
    batch: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the arguments are the caller's own, unchanged; `batch` holds `count` entries by its contract.
    unsafe {
        let any_refused = !batch.is_null()
            && (0..count as usize)
                .any(|index| refuses_message(fd, &raw const (*batch.add(index)).msg_hdr));
        if any_refused {
            return refuse();
        }
        libc::syscall(libc::SYS_sendmmsg, fd, batch, count, flags) as c_int
    }
}

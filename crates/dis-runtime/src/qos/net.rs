//! The urgency of packets (`SO_PRIORITY`): for queueing disciplines that know priorities (`prio`, `mqprio`, pfifo_fast's bands).

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use crate::qos::of_running;

/// Gives a socket the network priority that the calling task's intent declares, 0 to 7; what it sends from now on has it,
/// whoever sends. In a task without one, and outside of tasks, it is 0.
///
/// Linux knows no priority of a *task's* packets, so a task has to call this for each socket that it opens.
///
/// # Errors
/// The system's: the file is no socket.
pub fn prioritize(socket: &impl AsFd) -> io::Result<()> {
    set(socket, of_running().map_or(0, |limits| limits.net_priority))
}

fn set(socket: &impl AsFd, priority: u8) -> io::Result<()> {
    let value = libc::c_int::from(priority);
    let (fd, length) = (socket.as_fd().as_raw_fd(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: the value is valid memory of the given length.
    let done = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_PRIORITY, (&raw const value).cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether sockets of this process may have this priority: 7 is for CAP_NET_ADMIN.
pub(crate) fn permitted(priority: u8) -> Result<(), &'static str> {
    static SEVEN: OnceLock<bool> = OnceLock::new();
    let may = || UdpSocket::bind(("127.0.0.1", 0)).and_then(|socket| set(&socket, 7)).is_ok();
    if priority < 7 || *SEVEN.get_or_init(may) {
        Ok(())
    } else {
        Err("net_priority: 7 needs CAP_NET_ADMIN; 0 to 6 are for everybody")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Intent, Runtime};

    fn get(socket: &UdpSocket) -> libc::c_int {
        let mut value: libc::c_int = -1;
        let mut length = size_of_val(&value) as libc::socklen_t;
        let into = (&raw mut value).cast();
        // SAFETY: valid memory of the given length.
        let done =
            unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PRIORITY, into, &mut length) };
        assert_eq!(done, 0);
        value
    }

    fn urgent(priority: u8) -> Intent {
        let mut intent = Intent::batch();
        intent.constraints.net_priority = priority;
        intent
    }

    fn mark_one() -> libc::c_int {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        prioritize(&socket).unwrap();
        get(&socket)
    }

    #[test]
    fn sockets_get_the_priority_of_the_task() {
        let rt = Runtime::builder().workers(1).build().unwrap();
        assert_eq!(rt.spawn_fn(urgent(5), mark_one).unwrap().join().unwrap(), 5);
        assert_eq!(rt.spawn_fn(Intent::batch(), mark_one).unwrap().join().unwrap(), 0);
        assert_eq!(rt.spawn(urgent(6), async { mark_one() }).unwrap().join().unwrap(), 6);
        assert_eq!(mark_one(), 0);
    }

    #[test]
    fn what_is_no_socket_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(prioritize(&file).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    }

    #[test]
    fn seven_is_for_the_privileged() {
        let tried = std::thread::spawn(|| {
            crate::sys::drop_capabilities().unwrap();
            let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
            (set(&socket, 7).is_ok(), set(&socket, 6).is_ok())
        });
        assert_eq!(tried.join().unwrap(), (false, true));
    }
}

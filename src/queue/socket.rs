//! The queue's netlink socket: system calls and nothing else. The only place with `unsafe`, for each
//! call `libc` offers and `std` does not. What the bytes mean is `message.rs`'s matter.
//!
//! To read first: netlink(7), recvmmsg(2).

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use libc::{c_int, c_void};

use crate::time::Micros;

/// A netfilter netlink socket that can be taken away from under its user: the kernel lets go of what
/// is bound to a socket when the *last* descriptor of it closes, and a thread that hangs will not close
/// its own. So all share one number, and [`Socket::release`] puts something harmless in its place.
pub struct Socket {
    descriptor: OwnedFd,
    nothing: OwnedFd,
}

impl Socket {
    /// A new socket, bound to a port the kernel chooses. It does not hear of overruns: packets that did
    /// not fit show as gaps in the numbers, one by one (`NETLINK_NO_ENOBUFS`).
    pub fn open() -> io::Result<Socket> {
        let nothing = OwnedFd::from(File::open("/dev/null")?);
        // SAFETY: no pointers; the result is checked before it becomes an `OwnedFd`, which nobody else owns.
        let descriptor = unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
            let fd = checked(libc::socket(
                libc::AF_NETLINK,
                kind,
                libc::NETLINK_NETFILTER,
            ))?;
            OwnedFd::from_raw_fd(fd)
        };
        let socket = Socket {
            descriptor,
            nothing,
        };
        // SAFETY: `sockaddr_nl` is plain integers, for which zero is a value.
        let mut address: libc::sockaddr_nl = unsafe { zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        // SAFETY: `address` lives during the call and is as long as we say.
        checked(unsafe {
            libc::bind(
                socket.number(),
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        })?;
        socket.set(libc::SOL_NETLINK, libc::NETLINK_NO_ENOBUFS, &1)?;
        Ok(socket)
    }

    /// Asks for a receive buffer of `bytes` and returns what there is now, in the kernel's counting (it
    /// doubles what was asked for, as room for its own book-keeping). Without CAP_NET_ADMIN the system's
    /// `rmem_max` is the limit.
    pub fn receive_buffer(&self, bytes: usize) -> io::Result<usize> {
        let wanted = c_int::try_from(bytes).unwrap_or(c_int::MAX);
        if self
            .set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &wanted)
            .is_err()
        {
            self.set(libc::SOL_SOCKET, libc::SO_RCVBUF, &wanted)?;
        }
        let mut effective: c_int = 0;
        let mut length = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: both pointers are to locals that live during the call; `length` is the size of the first.
        checked(unsafe {
            libc::getsockopt(
                self.number(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUF,
                (&raw mut effective).cast(),
                &raw mut length,
            )
        })?;
        Ok(usize::try_from(effective).unwrap_or(0))
    }

    /// How long [`Buffers::receive`] waits. Zero would mean for ever: it becomes the shortest there is.
    pub fn receive_timeout(&self, timeout: Duration) -> io::Result<()> {
        let timeout = timeout.max(Duration::from_micros(1));
        // SAFETY: `timeval` is plain integers, for which zero is a value.
        let mut value: libc::timeval = unsafe { zeroed() };
        value.tv_sec = timeout.as_secs().try_into().unwrap_or(i32::MAX.into());
        value.tv_usec = timeout.subsec_micros() as libc::suseconds_t;
        self.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &value)
    }

    /// Sends to the kernel. What it says is done when this returns: a verdict's packet has gone its way.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: the kernel reads `bytes.len()` bytes of a slice that lives during the call.
        let sent = unsafe { libc::send(self.number(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Closes the socket, whoever else holds it; every later use fails with `ENOTSOCK`. A call that is
    /// under way in another thread keeps it open until it returns.
    pub fn release(&self) {
        self.becomes(&self.nothing)
            .expect("both descriptors are open as long as `self` is");
    }

    /// Puts `other` in place of this one's socket, for all who hold it.
    pub fn replace(&self, other: &Socket) {
        self.becomes(&other.descriptor)
            .expect("both descriptors are open as long as their owners are");
    }

    fn becomes(&self, other: &OwnedFd) -> io::Result<()> {
        loop {
            // SAFETY: no pointers; the number that is overwritten is ours, and remains an open descriptor.
            let result =
                checked(unsafe { libc::dup3(other.as_raw_fd(), self.number(), libc::O_CLOEXEC) });
            match result {
                // EBUSY: another thread is at this moment opening a file under a new number.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
                other => return other.map(drop),
            }
        }
    }

    fn set<T>(&self, level: c_int, name: c_int, value: &T) -> io::Result<()> {
        // SAFETY: the kernel reads `size_of::<T>()` bytes of a value that lives during the call. The types
        // used here, `c_int` and `timeval`, are those the options take.
        checked(unsafe {
            libc::setsockopt(
                self.number(),
                level,
                name,
                std::ptr::from_ref(value).cast::<c_void>(),
                size_of::<T>() as libc::socklen_t,
            )
        })
        .map(drop)
    }

    fn number(&self) -> c_int {
        self.descriptor.as_raw_fd()
    }
}

/// Room for a batch of datagrams, made once.
pub struct Buffers {
    bytes: Box<[u8]>,
    each_bytes: usize,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: the pointers in `vectors` and `headers` are set anew at each receive, to the boxes beside them, and
// used by nobody in between: they make no tie to the thread that made them.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Room for `count` datagrams of `each_bytes`.
    pub fn new(count: usize, each_bytes: usize) -> Buffers {
        // SAFETY: `iovec` and `mmsghdr` are plain integers and pointers, for which zero is a value.
        let (vector, header): (libc::iovec, libc::mmsghdr) = unsafe { (zeroed(), zeroed()) };
        Buffers {
            bytes: vec![0; count * each_bytes].into_boxed_slice(),
            each_bytes,
            vectors: vec![vector; count].into_boxed_slice(),
            headers: vec![header; count].into_boxed_slice(),
        }
    }

    /// Takes what waits, at most what there is room for, and returns how many. With `wait` it waits for the
    /// first, as long as [`Socket::receive_timeout`] says; `EAGAIN` if there is none.
    pub fn receive(&mut self, socket: &Socket, wait: bool) -> io::Result<usize> {
        let slots = self.bytes.chunks_exact_mut(self.each_bytes);
        for ((slot, vector), header) in slots.zip(&mut self.vectors).zip(&mut self.headers) {
            vector.iov_base = slot.as_mut_ptr().cast();
            vector.iov_len = slot.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        let flags = if wait {
            libc::MSG_WAITFORONE
        } else {
            libc::MSG_DONTWAIT
        };
        // SAFETY: `headers` are as many as we say; each points to one vector, each vector to one slot of
        // `bytes` of the length it says. All of it is borrowed by `self` for the whole call.
        let received = checked(unsafe {
            libc::recvmmsg(
                socket.number(),
                self.headers.as_mut_ptr(),
                self.headers.len() as _,
                flags as _,
                std::ptr::null_mut(),
            )
        })?;
        Ok(received as usize)
    }

    /// Datagram `index` of the last receive, cut where there was no more room.
    pub fn datagram(&self, index: usize) -> &[u8] {
        let length = (self.headers[index].msg_len as usize).min(self.each_bytes);
        let start = index * self.each_bytes;
        &self.bytes[start..start + length]
    }
}

/// Time since the machine started, suspension not counted: the same clock in every thread.
pub fn monotonic() -> Micros {
    // SAFETY: `timespec` is plain integers, for which zero is a value.
    let mut time: libc::timespec = unsafe { zeroed() };
    // SAFETY: the kernel writes one `timespec` into a local that lives during the call.
    checked(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) })
        .expect("every kernel has this clock");
    Micros(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000)
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_socket_is_closed_and_its_number_is_not() {
        let Ok(socket) = Socket::open() else {
            return; // a kernel without netfilter
        };

        socket.release();

        let error = socket.send(&[0; 16]).expect_err("not a socket any more");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    }

    #[test]
    fn a_replaced_socket_is_a_socket_again() {
        let (Ok(socket), Ok(fresh)) = (Socket::open(), Socket::open()) else {
            return; // a kernel without netfilter
        };
        socket.release();

        socket.replace(&fresh);

        assert!(socket.receive_buffer(4096).is_ok());
    }

    #[test]
    fn nothing_to_receive_is_eagain_and_not_a_wait() {
        let Ok(socket) = Socket::open() else {
            return; // a kernel without netfilter
        };
        let mut buffers = Buffers::new(2, 64);

        let error = buffers.receive(&socket, false).expect_err("nothing there");

        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
    }
}

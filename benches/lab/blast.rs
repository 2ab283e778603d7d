//! Small UDP packets at full speed: the sender of the benchmark. Each has 64 bytes from its IP header on; flow after
//! flow gets one, 32 a system call.
//!
//!     blast ADDRESS FLOWS SECONDS
//!
//! Prints how many packets the kernel took. They go to ports 9000 and up, which the lab's server counts and drops.

#![allow(unsafe_code)]

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Ports of the server, and so flows a socket.
const PORTS: usize = 1000;
const FIRST_PORT: u16 = 9000;
/// Packets a system call.
const BATCH: usize = 32;
/// 64 with the headers of IPv4 and UDP. No protocol starts like this.
const PAYLOAD: [u8; 36] = [0xa5; 36];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, flows, seconds] = &arguments[..] else {
        anyhow::bail!("usage: blast ADDRESS FLOWS SECONDS");
    };
    let flows: usize = flows.parse().context("FLOWS")?;
    anyhow::ensure!(
        (BATCH..=64_000).contains(&flows),
        "FLOWS is {BATCH} to 64000"
    );
    let time = Duration::try_from_secs_f64(seconds.parse().context("SECONDS")?)?;
    let sockets: Vec<UdpSocket> = (0..flows.div_ceil(PORTS))
        .map(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))
        .collect::<Result<_, _>>()?;
    println!("{}", blast(&sockets, address.parse()?, flows, time)?);
    Ok(())
}

/// Sends round after round of one packet a flow; a batch stays within one socket.
fn blast(
    sockets: &[UdpSocket],
    address: Ipv4Addr,
    flows: usize,
    time: Duration,
) -> anyhow::Result<u64> {
    let ports = PORTS.min(flows);
    let mut names: Vec<libc::sockaddr_in> =
        (0..ports).map(|port| name(address, port as u16)).collect();
    let mut payload = libc::iovec {
        iov_base: PAYLOAD.as_ptr().cast_mut().cast(),
        iov_len: PAYLOAD.len(),
    };
    let mut messages: Vec<libc::mmsghdr> = names
        .iter_mut()
        .map(|name| {
            // SAFETY: `mmsghdr` is integers and pointers, for which zero is a value.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            message.msg_hdr.msg_iov = &raw mut payload;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let end = Instant::now() + time;
    let mut sent = 0;
    loop {
        for socket in sockets {
            for batch in messages.chunks_mut(BATCH) {
                // SAFETY: each message points to a name and a payload that live until this function returns, and
                // the kernel only reads them.
                let taken = unsafe {
                    libc::sendmmsg(
                        socket.as_raw_fd(),
                        batch.as_mut_ptr(),
                        batch.len() as libc::c_uint,
                        0,
                    )
                };
                // A full device queue takes fewer or none; the next batch is tried at once.
                sent += u64::try_from(taken).unwrap_or(0);
            }
            if Instant::now() >= end {
                return Ok(sent);
            }
        }
    }
}

fn name(address: Ipv4Addr, port: u16) -> libc::sockaddr_in {
    // SAFETY: `sockaddr_in` is plain integers, for which zero is a value.
    let mut name: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    name.sin_family = libc::AF_INET as libc::sa_family_t;
    name.sin_port = (FIRST_PORT + port).to_be();
    name.sin_addr.s_addr = u32::from(address).to_be();
    name
}

//! How far a TCP connection has come, and how long it may be silent.

use crate::flow::key::Dir;
use crate::flow::{Flow, flag};
use crate::time::Micros;

/// TCP flag bits (RFC 9293 3.1).
#[allow(missing_docs)] // the names say it
pub mod bits {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;
}

/// Where a TCP connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not TCP, or picked up in the middle.
    #[default]
    Unknown,
    /// SYN seen.
    SynSent,
    /// SYN+ACK seen.
    SynReceived,
    /// Handshake complete, or data seen.
    Open,
    /// One side has sent FIN.
    Closing,
    /// Both have, or one reset.
    Closed,
}

/// Silence after which a flow is over (plugin contract 5.3).
pub const IDLE: Micros = Micros::from_secs(60);
/// The same for a TCP connection that has ended or never began.
pub const IDLE_CLOSED: Micros = Micros::from_secs(15);

/// How long `flow` may be silent before it is over.
pub fn timeout(flow: &Flow) -> Micros {
    match flow.tcp {
        State::SynSent | State::SynReceived | State::Closed => IDLE_CLOSED,
        State::Unknown | State::Open | State::Closing => IDLE,
    }
}

/// Takes one segment into account: state, flags seen, retransmissions, order. `payload` is the number of
/// bytes it carries on the wire.
pub fn advance(flow: &mut Flow, dir: Dir, flags: u8, seq: u32, payload: u32) {
    let side = dir as usize;
    let first = flow.counters[side].packets <= 1;
    flow.tcp_flags[side] |= flags;
    flow.tcp = next_state(flow, dir, flags, payload);

    let expected = flow.next_seq[side];
    let length = payload + u32::from(flags & bits::SYN != 0) + u32::from(flags & bits::FIN != 0);
    let end = seq.wrapping_add(length);
    if first {
        flow.next_seq[side] = end;
        return;
    }
    let ahead = seq.wrapping_sub(expected) as i32;
    if length > 0 && ahead < 0 {
        // A keep-alive repeats one byte, or none, just below what is expected (RFC 9293 3.8.4).
        let keep_alive = ahead == -1 && payload <= 1;
        flow.retransmitted[side] += u16::from(!keep_alive && flow.retransmitted[side] < u16::MAX);
    } else if length > 0 && ahead > 0 {
        flow.out_of_order[side] = flow.out_of_order[side].saturating_add(1);
    }
    if end.wrapping_sub(expected) as i32 > 0 {
        flow.next_seq[side] = end;
    }
}

fn next_state(flow: &mut Flow, dir: Dir, flags: u8, payload: u32) -> State {
    if flags & bits::RST != 0 {
        return State::Closed;
    }
    if flags & bits::FIN != 0 {
        let other = flow.tcp_flags[1 - dir as usize] & bits::FIN != 0;
        return if other { State::Closed } else { State::Closing };
    }
    match (flow.tcp, flags & (bits::SYN | bits::ACK), dir) {
        (State::Unknown, bits::SYN, Dir::ToServer) => State::SynSent,
        (State::SynSent, both, Dir::ToClient) if both == bits::SYN | bits::ACK => {
            State::SynReceived
        }
        (State::SynReceived, bits::ACK, Dir::ToServer) => {
            flow.flags |= flag::HANDSHAKE;
            State::Open
        }
        (State::Unknown | State::SynSent, _, _) if payload > 0 && flags & bits::SYN == 0 => {
            State::Open
        }
        (state, _, _) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::bits::{ACK, FIN, RST, SYN};
    use super::*;

    fn segment(flow: &mut Flow, dir: Dir, flags: u8, seq: u32, payload: u32) {
        flow.counters[dir as usize].packets += 1;
        advance(flow, dir, flags, seq, payload);
    }

    fn shaken() -> Flow {
        let mut flow = Flow::default();
        segment(&mut flow, Dir::ToServer, SYN, 99, 0);
        segment(&mut flow, Dir::ToClient, SYN | ACK, 499, 0);
        segment(&mut flow, Dir::ToServer, ACK, 100, 0);
        flow
    }

    #[test]
    fn a_handshake_in_order_is_seen() {
        let flow = shaken();

        assert!(flow.has(flag::HANDSHAKE));
        assert_eq!(flow.tcp, State::Open);
        assert_eq!(flow.next_seq, [100, 500]);
    }

    #[test]
    fn a_flow_picked_up_in_the_middle_is_open_but_never_shaken() {
        let mut flow = Flow::default();

        segment(&mut flow, Dir::ToServer, ACK, 5, 10);

        assert_eq!(flow.tcp, State::Open);
        assert!(!flow.has(flag::HANDSHAKE));
    }

    #[test]
    fn repeated_and_early_segments_are_counted_apart() {
        let mut flow = shaken();

        segment(&mut flow, Dir::ToServer, ACK, 100, 10);
        segment(&mut flow, Dir::ToServer, ACK, 100, 10);
        segment(&mut flow, Dir::ToServer, ACK, 130, 10);
        segment(&mut flow, Dir::ToServer, ACK, 139, 0);

        assert_eq!(flow.retransmitted, [1, 0]);
        assert_eq!(flow.out_of_order, [1, 0]);
        assert_eq!(flow.next_seq[0], 140);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut flow = Flow::default();
        segment(&mut flow, Dir::ToServer, SYN, u32::MAX - 4, 0);

        segment(&mut flow, Dir::ToServer, ACK, u32::MAX - 3, 10);

        assert_eq!(flow.next_seq[0], 6);
        assert_eq!(flow.retransmitted[0], 0);
    }

    #[test]
    fn a_closed_or_half_open_connection_may_be_silent_for_less() {
        let mut flow = shaken();
        assert_eq!(timeout(&flow), IDLE);

        segment(&mut flow, Dir::ToServer, FIN | ACK, 100, 0);
        assert_eq!(timeout(&flow), IDLE);
        segment(&mut flow, Dir::ToClient, FIN | ACK, 500, 0);
        assert_eq!((flow.tcp, timeout(&flow)), (State::Closed, IDLE_CLOSED));

        let mut refused = Flow::default();
        segment(&mut refused, Dir::ToServer, SYN, 1, 0);
        segment(&mut refused, Dir::ToClient, RST | ACK, 0, 0);
        assert_eq!(timeout(&refused), IDLE_CLOSED);
    }
}

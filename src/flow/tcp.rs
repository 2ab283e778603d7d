//! How far a TCP connection has come, and which timeout holds.

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

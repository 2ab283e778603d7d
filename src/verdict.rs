//! What is answered for a packet, and why.

use std::fmt;

/// The answer for the packet in hand and, for the `Flow` kinds, for the rest of its flow. Only
/// `queue.rs` and the firewall text know how these look as mark bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "the kernel holds a packet until it gets a verdict"]
pub enum Verdict {
    /// Let this one go; show us the next.
    #[default]
    Pass,
    /// Let it go; the kernel carries the rest.
    PassFlow(Class),
    /// Drop this one; show us the next.
    Drop,
    /// Drop it; the kernel drops the rest.
    DropFlow,
    /// Drop it; the kernel answers the rest with a TCP reset or ICMP administratively prohibited.
    RejectFlow,
}

impl Verdict {
    /// Whether the packet in hand dies.
    pub fn drops(self) -> bool {
        matches!(
            self,
            Verdict::Drop | Verdict::DropFlow | Verdict::RejectFlow
        )
    }

    /// Whether the flow is decided.
    pub fn is_final(self) -> bool {
        !matches!(self, Verdict::Pass | Verdict::Drop)
    }

    /// The word used in events: `pass`, `mark`, `drop` or `reject`.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass | Verdict::PassFlow(Class::Plain | Class::Offload) => "pass",
            Verdict::PassFlow(Class::Marked) => "mark",
            Verdict::Drop | Verdict::DropFlow => "drop",
            Verdict::RejectFlow => "reject",
        }
    }
}

/// How a passed flow goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// In the kernel, but not offloaded: something may still be asked of it.
    Plain,
    /// In the kernel, and the flowtable or hardware may take it over.
    Offload,
    /// In the kernel, with the bit set that the owner's QoS rules match.
    Marked,
}

/// What is done with a flow whose score exceeds the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Its packets die silently.
    #[default]
    Drop,
    /// Its packets die and the sender is told.
    Reject,
    /// It passes, marked.
    Mark,
}

/// Why a flow has the verdict it has: enough to say it in words, without any text in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// Detection is under way.
    #[default]
    Undecided,
    /// Nothing spoke against it.
    Clean,
    /// Something did, but not more than the threshold.
    Below {
        /// Verdict score.
        score: u16,
        /// What it would have to exceed.
        threshold: u16,
    },
    /// The score exceeds the threshold.
    Exceeds {
        /// Verdict score.
        score: u16,
        /// What it exceeds.
        threshold: u16,
        /// Status that contributes most.
        status: u8,
        /// Index of the script that set it.
        script: u16,
    },
    /// The owner exempts one of its ends: index of the entry.
    Exempt(u16),
}

/// A [`Reason`] in words; names are looked up by `names(script, status)`.
pub struct ReasonText<'a> {
    /// What to say.
    pub reason: Reason,
    /// Name of the script and of the status.
    pub script: &'a str,
    /// Name of the status definition.
    pub status: &'a str,
}

impl fmt::Display for ReasonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Undecided => f.write_str("not yet decided"),
            Reason::Clean => f.write_str("no script spoke against it"),
            Reason::Below { score, threshold } => {
                write!(f, "score {score} does not exceed {threshold}")
            }
            Reason::Exceeds {
                score, threshold, ..
            } => {
                write!(
                    f,
                    "score {score} > {threshold}: {}/{}",
                    self.script, self.status
                )
            }
            Reason::Exempt(entry) => {
                write!(f, "exempt by entry {} of the configuration", entry + 1)
            }
        }
    }
}

//! How a verdict looks as mark bits. Four contiguous bits of the packet's mark carry it from the
//! answer to the firewall rules (`nft.rs`), and of the connection's mark from packet to packet;
//! the other 28 belong to others and come back as they were.

use super::Answer;
use crate::verdict::{Class, Verdict};

/// The four bits that are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    mask: u32,
}

impl Default for Marks {
    /// `0x0f000000`: no daemon common on routers uses these.
    fn default() -> Self {
        Marks { mask: 0x0f00_0000 }
    }
}

impl Marks {
    /// The bits under `mask`; `None` unless those are four neighbours.
    pub const fn new(mask: u32) -> Option<Marks> {
        if mask != 0 && mask >> mask.trailing_zeros() == 0xf {
            Some(Marks { mask })
        } else {
            None
        }
    }

    /// All four bits. As a packet mark it never is a verdict: the rules use it for "to be queued"
    /// where the kernel's nft cannot queue by itself.
    pub const fn mask(self) -> u32 {
        self.mask
    }

    /// The bit every passed flow has.
    pub const fn pass_bit(self) -> u32 {
        self.at(0x1)
    }

    /// What the rules find for `verdict`. Zero for what decides no flow.
    pub const fn bits(self, verdict: Verdict) -> u32 {
        self.at(match verdict {
            Verdict::Pass | Verdict::Drop => 0x0,
            Verdict::PassFlow(Class::Plain) => 0x1,
            Verdict::PassFlow(Class::Offload) => 0x5,
            Verdict::PassFlow(Class::Marked) => 0x9,
            Verdict::DropFlow => 0x2,
            Verdict::RejectFlow => 0xa,
        })
    }

    /// The answer for a packet that came with `mark`. A dropped *flow* is accepted with its bits set:
    /// the rules write them to the connection and drop; a plain drop would leave no trace, and every
    /// later packet would come up again.
    pub const fn answer(self, verdict: Verdict, mark: u32) -> Answer {
        if matches!(verdict, Verdict::Drop) {
            return Answer::Drop;
        }
        let wanted = mark & !self.mask | self.bits(verdict);
        if wanted == mark {
            Answer::Accept
        } else {
            Answer::AcceptMarked(wanted)
        }
    }

    const fn at(self, code: u32) -> u32 {
        code << self.mask.trailing_zeros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Verdict; 7] = [
        Verdict::Pass,
        Verdict::PassFlow(Class::Plain),
        Verdict::PassFlow(Class::Offload),
        Verdict::PassFlow(Class::Marked),
        Verdict::Drop,
        Verdict::DropFlow,
        Verdict::RejectFlow,
    ];

    #[test]
    fn only_four_neighbouring_bits_are_a_mask() {
        assert_eq!(Marks::new(0x0f00_0000), Some(Marks::default()));
        assert!(Marks::new(0xf).is_some());
        assert!(Marks::new(0xf000_0000).is_some());
        for wrong in [0, 0x7, 0x1f, 0x1b, 0xff, 0x0f00_0001, u32::MAX] {
            assert_eq!(Marks::new(wrong), None, "{wrong:#x}");
        }
    }

    #[test]
    fn foreign_bits_survive_every_verdict() {
        for shift in 0..=28 {
            let marks = Marks::new(0xf << shift).expect("four neighbours");
            for verdict in ALL {
                for foreign in [0, 0xdead_beef, u32::MAX] {
                    let after = match marks.answer(verdict, foreign) {
                        Answer::Accept | Answer::Drop => foreign,
                        Answer::AcceptMarked(mark) => mark,
                    };

                    assert_eq!(after & !marks.mask(), foreign & !marks.mask());
                }
            }
        }
    }

    #[test]
    fn only_a_lone_packet_is_dropped_by_the_queue_itself() {
        for verdict in ALL {
            let dropped = Marks::default().answer(verdict, 0) == Answer::Drop;

            assert_eq!(dropped, verdict == Verdict::Drop);
        }
    }

    #[test]
    fn an_undecided_packet_loses_bits_it_came_with() {
        let answer = Marks::default().answer(Verdict::Pass, 0x0f00_0001);

        assert_eq!(answer, Answer::AcceptMarked(1));
    }

    #[test]
    fn the_bits_are_those_the_firewall_text_knows() {
        let bits = ALL.map(|verdict| Marks::default().bits(verdict) >> 24);

        assert_eq!(bits, [0, 1, 5, 9, 0, 2, 0xa]);
    }
}

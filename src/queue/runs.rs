//! A batch's answers as messages.

use super::Answer;
use super::message::Writer;

/// Answers in the order of their packets, a run of equal ones in one message.
///
/// The kernel takes such a message for *every* packet that waits up to the number it names. That is right
/// because numbers come up in order and whatever came before is answered: by an earlier send, or by a message
/// that stands before it in this one.
pub struct Runs<'a> {
    queue: u16,
    longest: u32,
    out: Writer<'a>,
    open: Option<Run>,
}

#[derive(Clone, Copy)]
struct Run {
    last_id: u32,
    length: u32,
    answer: Answer,
}

impl<'a> Runs<'a> {
    /// Answers for `queue`, written to `out`; at most `longest` in one message.
    pub fn new(queue: u16, longest: u32, out: &'a mut Vec<u8>) -> Runs<'a> {
        Runs {
            queue,
            longest,
            out: Writer(out),
            open: None,
        }
    }

    /// The next packet's answer.
    pub fn add(&mut self, id: u32, answer: Answer) {
        match &mut self.open {
            Some(run) if run.answer == answer && run.length < self.longest => {
                run.last_id = id;
                run.length += 1;
            }
            _ => {
                self.end();
                self.open = Some(Run {
                    last_id: id,
                    length: 1,
                    answer,
                });
            }
        }
    }

    /// Writes what is still open. To be called at the end.
    pub fn end(&mut self) {
        let Some(run) = self.open.take() else { return };
        let (verdict, mark) = match run.answer {
            Answer::Accept => (libc::NF_ACCEPT, None),
            Answer::AcceptMarked(mark) => (libc::NF_ACCEPT, Some(mark)),
            Answer::Drop => (libc::NF_DROP, None),
        };
        self.out
            .verdict(self.queue, run.last_id, run.length > 1, verdict, mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::message::VERDICT_BYTES;

    /// Message kind (1: one, 3: up to), number and verdict of each message.
    fn written(longest: u32, answers: &[(u32, Answer)]) -> Vec<(u8, u32, u32)> {
        let mut bytes = Vec::new();
        let mut runs = Runs::new(7, longest, &mut bytes);
        for &(id, answer) in answers {
            runs.add(id, answer);
        }
        runs.end();
        let mut messages = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some(head) = rest.first_chunk::<32>() {
            let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]);
            let kind = u16::from_ne_bytes([head[4], head[5]]) as u8;
            let verdict = u32::from_be_bytes([head[24], head[25], head[26], head[27]]);
            let id = u32::from_be_bytes([head[28], head[29], head[30], head[31]]);
            messages.push((kind, id, verdict));
            rest = &rest[length as usize..];
        }
        messages
    }

    #[test]
    fn a_run_of_equal_answers_is_one_message_behind_the_odd_one() {
        let answers = [
            (1, Answer::Accept),
            (2, Answer::Accept),
            (4, Answer::Drop),
            (5, Answer::Accept),
            (6, Answer::AcceptMarked(1)),
            (7, Answer::AcceptMarked(1)),
            (8, Answer::AcceptMarked(2)),
        ];

        let messages = written(u32::MAX, &answers);

        let wanted = [(3, 2, 1), (1, 4, 0), (1, 5, 1), (3, 7, 1), (1, 8, 1)];
        assert_eq!(messages, wanted);
    }

    #[test]
    fn without_batch_verdicts_each_packet_has_its_own() {
        let answers = [(1, Answer::Accept), (2, Answer::Accept), (3, Answer::Drop)];

        assert_eq!(written(1, &answers), [(1, 1, 1), (1, 2, 1), (1, 3, 0)]);
    }

    #[test]
    fn a_full_batch_of_answers_fits_the_room_taken_at_the_start() {
        let mut bytes = Vec::with_capacity(32 * VERDICT_BYTES);
        let mut runs = Runs::new(7, 1, &mut bytes);

        for id in 0..32 {
            runs.add(id, Answer::AcceptMarked(id));
        }
        runs.end();

        assert_eq!(bytes.len(), 32 * VERDICT_BYTES);
    }
}

//! Statuses of a flow and what they add up to: the arithmetic of scores, without Lua.
//!
//! Inside one event the scores of all calls for one status are summed; over events a status counts with
//! the largest of these sums; the verdict score is the sum over the statuses that are set. A script that
//! repeats itself every minute therefore cannot cross a threshold by time alone.

use serde::{Deserialize, Serialize};

/// Highest score one call may give (ntopng's `flow_consts.max_score`).
pub const MAX_SCORE: u16 = 1024;
/// Statuses one flow can have; further ones are counted and left out.
pub const MAX_STATUSES: usize = 7;

/// How the statuses of a flow become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreMode {
    /// Sum within an event, largest event a status, sum over statuses.
    #[default]
    Event,
    /// Every call adds, as ntopng 4.2 does.
    Additive,
    /// The single highest status.
    Max,
}

/// One status of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Bit in the status map, 1..=63; 0 marks a free entry.
    pub key: u8,
    /// Cleared by a script: no longer counts.
    pub cleared: bool,
    /// Index of the script that set it first.
    pub script: u16,
    /// What it counts with.
    pub score: u16,
    /// Sum within the running event.
    event: u16,
}

/// The statuses of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statuses {
    list: [Status; MAX_STATUSES],
    /// Score of the alert recorded for the flow.
    pub alerted_score: u16,
    /// Status key of the alert recorded for the flow; 0 for none.
    pub alerted: u8,
    /// Statuses that found no room.
    pub lost: u8,
    /// Scores given to the two hosts, client and server.
    pub host_scores: [u16; 2],
}

impl Statuses {
    /// A new event begins: sums within an event start over.
    pub fn begin_event(&mut self) {
        for status in &mut self.list {
            status.event = 0;
        }
    }

    /// Sets `key` (1..=63) with `score`, clamped to [`MAX_SCORE`]. Key 0 ("normal") cannot be set.
    /// False if there was no room.
    pub fn set(&mut self, key: u8, score: u16, script: u16, mode: ScoreMode) -> bool {
        if key == 0 || key > 63 {
            return false;
        }
        let Some(at) = self
            .list
            .iter()
            .position(|s| s.key == key)
            .or_else(|| self.free())
        else {
            self.lost = self.lost.saturating_add(1);
            return false;
        };
        let status = &mut self.list[at];
        if status.key == 0 {
            *status = Status {
                key,
                script,
                ..Status::default()
            };
        }
        let score = score.min(MAX_SCORE);
        status.cleared = false;
        status.event = status.event.saturating_add(score);
        status.score = match mode {
            ScoreMode::Additive => status.score.saturating_add(score),
            ScoreMode::Event | ScoreMode::Max => status.score.max(status.event),
        };
        true
    }

    /// Clears the bit of `key`, and with it what the status counts.
    pub fn clear(&mut self, key: u8) {
        if let Some(status) = self.list.iter_mut().find(|s| s.key == key && key != 0) {
            status.cleared = true;
        }
    }

    /// The statuses that are set.
    pub fn iter(&self) -> impl Iterator<Item = &Status> {
        self.list.iter().filter(|s| s.key != 0 && !s.cleared)
    }

    /// Bit n for status n.
    pub fn map(&self) -> u64 {
        self.iter().fold(0, |map, status| map | 1 << status.key)
    }

    /// The verdict score, saturating.
    pub fn total(&self, mode: ScoreMode) -> u16 {
        match mode {
            ScoreMode::Max => self.iter().map(|s| s.score).max().unwrap_or(0),
            ScoreMode::Event | ScoreMode::Additive => self
                .iter()
                .fold(0u16, |sum, status| sum.saturating_add(status.score)),
        }
    }

    /// The status that counts most; the lower key of equals.
    pub fn predominant(&self) -> Option<&Status> {
        self.iter()
            .min_by_key(|s| (std::cmp::Reverse(s.score), s.key))
    }

    fn free(&self) -> Option<usize> {
        self.list.iter().position(|s| s.key == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_within_an_event_add_up_and_events_do_not() {
        let mut statuses = Statuses::default();

        statuses.begin_event();
        statuses.set(31, 50, 0, ScoreMode::Event);
        statuses.set(31, 50, 0, ScoreMode::Event);
        statuses.begin_event();
        statuses.set(31, 60, 0, ScoreMode::Event);

        assert_eq!(statuses.total(ScoreMode::Event), 100);
    }

    #[test]
    fn the_additive_mode_adds_every_call() {
        let mut statuses = Statuses::default();

        for _ in 0..3 {
            statuses.begin_event();
            statuses.set(31, 50, 0, ScoreMode::Additive);
        }

        assert_eq!(statuses.total(ScoreMode::Additive), 150);
    }

    #[test]
    fn two_statuses_sum_and_a_cleared_one_does_not_count() {
        let mut statuses = Statuses::default();
        statuses.set(60, 50, 0, ScoreMode::Event);
        statuses.set(59, 50, 1, ScoreMode::Event);
        assert_eq!(statuses.map(), 1 << 60 | 1 << 59);
        assert_eq!(statuses.total(ScoreMode::Event), 100);
        assert_eq!(statuses.predominant().map(|s| s.key), Some(59));

        statuses.clear(59);

        assert_eq!(statuses.total(ScoreMode::Event), 50);
        assert_eq!(statuses.map(), 1 << 60);
    }

    #[test]
    fn scores_are_clamped_and_normal_cannot_be_set() {
        let mut statuses = Statuses::default();

        assert!(statuses.set(63, 5000, 0, ScoreMode::Event));
        assert!(!statuses.set(0, 100, 0, ScoreMode::Event));

        assert_eq!(statuses.total(ScoreMode::Event), 1024);
    }

    #[test]
    fn a_status_too_many_is_counted() {
        let mut statuses = Statuses::default();

        for key in 1..=MAX_STATUSES as u8 + 1 {
            statuses.set(key, 10, 0, ScoreMode::Event);
        }

        assert_eq!(statuses.lost, 1);
        assert_eq!(statuses.total(ScoreMode::Event), 10 * MAX_STATUSES as u16);
    }
}

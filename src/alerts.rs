//! The ring of recent alerts, and hush for repeats: a storm of alerts is a few lines and a count.
//!
//! Kept by the worker; time comes with the alerts. Identical alerts (script, status, client, server, host)
//! within [`WINDOW`] are one entry with a count, and no rule (script and status) gets more than one line a
//! second.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use crate::events::{Alert, Record};
use crate::time::Micros;

/// How long identical alerts are counted instead of told.
pub const WINDOW: Micros = Micros::from_secs(60);
/// Least time between two lines of one rule.
const BETWEEN_LINES: Micros = Micros::from_secs(1);
/// Rules whose last line is remembered.
const RULES: usize = 128;

/// An alert, and how often it came within its window.
#[derive(Clone)]
pub struct Entry {
    /// Number of the entry since start, from 1.
    pub id: u64,
    /// The flow as it was at the first of them.
    pub record: Record,
    /// The first of them.
    pub alert: Alert,
    /// How many there were.
    pub count: u32,
    /// Wall clock of the last of them.
    pub last: Micros,
    /// How many of them no line has told of.
    untold: u32,
}

/// What makes two alerts the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    script: u16,
    status: u8,
    client: IpAddr,
    server: IpAddr,
    host: u64,
}

impl Key {
    fn of(record: &Record, alert: &Alert) -> Key {
        let mut host = DefaultHasher::new();
        record.detail.facts.host().hash(&mut host);
        Key {
            script: alert.script,
            status: alert.status,
            client: record.flow.client().0,
            server: record.flow.server().0,
            host: host.finish(),
        }
    }

    fn rule(&self) -> (u16, u8) {
        (self.script, self.status)
    }
}

/// Whether an alert is to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// By a line of its own.
    Line {
        /// Identical ones that were counted since the last line of this alert.
        repeated: u32,
        /// Other alerts of the same rule that got no line since its last one.
        held: u32,
    },
    /// Not now: it is counted.
    Hushed,
}

impl Told {
    /// What a line says of those that got none: empty, or in brackets with a blank before.
    pub fn note(self) -> String {
        match self {
            Told::Hushed
            | Told::Line {
                repeated: 0,
                held: 0,
            } => String::new(),
            Told::Line { repeated, held: 0 } => format!(" (repeated {repeated} times)"),
            Told::Line { repeated: 0, held } => format!(" ({held} others of this rule not shown)"),
            Told::Line { repeated, held } => {
                format!(" (repeated {repeated} times, {held} others of this rule not shown)")
            }
        }
    }
}

/// Lines of one rule.
#[derive(Clone, Copy, Default)]
struct Rule {
    of: Option<(u16, u8)>,
    last_line: Option<Micros>,
    held: u32,
}

impl Rule {
    /// Whether it may have a line now: with how many alerts got none since its last one.
    fn speaks(&mut self, now: Micros) -> Option<u32> {
        if self
            .last_line
            .is_some_and(|last| now.since(last) < BETWEEN_LINES)
        {
            return None;
        }
        self.last_line = Some(now);
        Some(std::mem::take(&mut self.held))
    }
}

/// Which alerts to show. Conditions that are not given hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Client or server.
    pub address: Option<IpAddr>,
    /// Index of the script.
    pub script: Option<u16>,
    /// Status key.
    pub status: Option<u8>,
}

impl Filter {
    /// Whether `entry` is to be shown.
    pub fn admits(&self, entry: &Entry) -> bool {
        let flow = &entry.record.flow;
        self.address
            .is_none_or(|a| flow.client().0 == a || flow.server().0 == a)
            && self
                .script
                .is_none_or(|script| entry.alert.script == script)
            && self
                .status
                .is_none_or(|status| entry.alert.status == status)
    }
}

/// The last alerts, the oldest given up for the newest.
pub struct Alerts {
    /// Never longer than `most`; `keys` belongs to it entry by entry.
    ring: VecDeque<Entry>,
    keys: VecDeque<Key>,
    most: usize,
    rules: [Rule; RULES],
    next_id: u64,
    /// Alerts that got no line.
    pub hushed: u64,
}

impl Alerts {
    /// Room for `most` entries (at least one), taken now.
    pub fn new(most: usize) -> Alerts {
        let most = most.max(1);
        Alerts {
            ring: VecDeque::with_capacity(most),
            keys: VecDeque::with_capacity(most),
            most,
            rules: [Rule::default(); RULES],
            next_id: 1,
            hushed: 0,
        }
    }

    /// Takes an alert in, and says whether to tell of it.
    pub fn push(&mut self, record: &Record, alert: &Alert) -> Told {
        let key = Key::of(record, alert);
        let now = record.now.mono;
        let mut repeated = 0;
        if let Some(at) = self.keys.iter().rposition(|other| *other == key) {
            let entry = &mut self.ring[at];
            if now.since(entry.record.now.mono) < WINDOW {
                entry.count = entry.count.saturating_add(1);
                entry.untold = entry.untold.saturating_add(1);
                entry.last = record.now.wall;
                self.hushed += 1;
                return Told::Hushed;
            }
            repeated = std::mem::take(&mut entry.untold);
        }
        if self.ring.len() == self.most {
            self.ring.pop_front();
            self.keys.pop_front();
        }
        let rule = self.rule(key.rule());
        let held = rule.speaks(now);
        rule.held = rule.held.saturating_add(u32::from(held.is_none()));
        self.ring.push_back(Entry {
            id: self.next_id,
            record: *record,
            alert: alert.clone(),
            count: 1,
            last: record.now.wall,
            untold: if held.is_some() { 0 } else { repeated },
        });
        self.keys.push_back(key);
        self.next_id += 1;
        match held {
            Some(held) => Told::Line { repeated, held },
            None => {
                self.hushed += 1;
                Told::Hushed
            }
        }
    }

    /// Tells of what got no line and will get none by itself: repeats in windows that are over, and the latest
    /// alert of a rule that had too many. To be called every second or so.
    pub fn due(&mut self, now: Micros, mut tell: impl FnMut(&Entry, Told)) {
        for at in 0..self.ring.len() {
            let entry = &self.ring[at];
            if entry.untold == 0 || now.since(entry.record.now.mono) < WINDOW {
                continue;
            }
            if let Some(held) = self.rule(self.keys[at].rule()).speaks(now) {
                let entry = &mut self.ring[at];
                let repeated = std::mem::take(&mut entry.untold);
                tell(entry, Told::Line { repeated, held });
            }
        }
        for at in 0..RULES {
            let Rule { of, held: 1.., .. } = self.rules[at] else {
                continue;
            };
            let newest = |key: &Key| Some(key.rule()) == of;
            let Some(newest) = self.keys.iter().rposition(newest) else {
                continue;
            };
            if let Some(held) = self.rules[at].speaks(now) {
                let entry = &mut self.ring[newest];
                let repeated = std::mem::take(&mut entry.untold);
                let held = held - 1; // the one that is told now
                tell(entry, Told::Line { repeated, held });
            }
        }
    }

    /// The newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Entry> {
        self.ring.iter().rev()
    }

    /// What is remembered of a rule; the one that has been silent longest makes room for a new one.
    fn rule(&mut self, of: (u16, u8)) -> &mut Rule {
        let of = Some(of);
        let at = self.rules.iter().position(|rule| rule.of == of);
        let at = at.unwrap_or_else(|| {
            let silent = |at: &usize| (self.rules[*at].held > 0, self.rules[*at].last_line);
            let at = (0..RULES).min_by_key(silent).expect("RULES > 0");
            self.rules[at] = Rule {
                of,
                ..Rule::default()
            };
            at
        });
        &mut self.rules[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::{alert, record};
    use crate::time::Now;

    const LINE: Told = Told::Line {
        repeated: 0,
        held: 0,
    };

    fn at(millis: u64) -> Record {
        Record {
            now: Now::at(Micros::from_millis(millis)),
            ..record()
        }
    }

    fn from(client: u8, millis: u64) -> Record {
        let mut record = at(millis);
        let client = (IpAddr::from([10, 0, 0, client]), 40_000);
        record.flow.key = crate::flow::key::FlowKey::new(client, record.flow.server(), 6, 0).0;
        record
    }

    #[test]
    fn a_million_identical_alerts_are_a_line_a_window_and_a_count() {
        let mut alerts = Alerts::new(16);
        let mut lines = Vec::new();

        for n in 0..1_000_000u64 {
            let told = alerts.push(&at(n / 10), &alert());
            if told != Told::Hushed {
                lines.push(told.note());
            }
        }
        alerts.due(Micros::from_secs(200), |entry, told| {
            lines.push(format!("{}{}", entry.id, told.note()))
        });

        assert_eq!(
            lines,
            ["", " (repeated 599999 times)", "2 (repeated 399999 times)"]
        );
        assert_eq!(alerts.hushed, 999_998);
        assert_eq!(
            alerts.newest().map(|e| e.count).collect::<Vec<_>>(),
            [400_000, 600_000]
        );
    }

    #[test]
    fn a_rule_has_one_line_a_second_however_many_hosts_it_finds() {
        let mut alerts = Alerts::new(300);

        let told: Vec<Told> = (0..40)
            .map(|n| alerts.push(&from(n, u64::from(n) * 50), &alert()))
            .collect();

        let lines: Vec<(usize, Told)> = told
            .into_iter()
            .enumerate()
            .filter(|(_, t)| *t != Told::Hushed)
            .collect();
        assert_eq!(
            lines,
            [
                (0, LINE),
                (
                    20,
                    Told::Line {
                        repeated: 0,
                        held: 19
                    }
                )
            ]
        );
        assert_eq!(alerts.newest().count(), 40);
    }

    #[test]
    fn a_storm_that_ends_is_told_of_in_one_last_line() {
        let mut alerts = Alerts::new(300);
        for n in 0..10 {
            alerts.push(&from(n, 0), &alert());
        }
        let mut lines = Vec::new();

        for secs in [0, 1, 2] {
            alerts.due(Micros::from_secs(secs), |entry, told| {
                lines.push((secs, entry.id, told))
            });
        }

        assert_eq!(
            lines,
            [(
                1,
                10,
                Told::Line {
                    repeated: 0,
                    held: 8
                }
            )]
        );
    }

    #[test]
    fn asking_what_is_due_too_early_counts_nothing() {
        let mut alerts = Alerts::new(300);
        alerts.push(&at(0), &alert());
        alerts.push(&at(1), &alert());
        alerts.push(&from(9, 60_500), &alert());
        let mut lines = Vec::new();

        for millis in [60_600, 60_700, 61_500, 61_600] {
            alerts.due(Micros::from_millis(millis), |entry, told| {
                lines.push((millis, entry.id, told))
            });
        }

        assert_eq!(
            lines,
            [(
                61_500,
                1,
                Told::Line {
                    repeated: 1,
                    held: 0
                }
            )]
        );
    }

    #[test]
    fn another_rule_is_not_hushed_by_it() {
        let mut alerts = Alerts::new(16);
        let other = Alert {
            script: 9,
            ..alert()
        };

        assert_eq!(alerts.push(&at(0), &alert()), LINE);
        assert_eq!(alerts.push(&at(0), &other), LINE);
        assert_eq!(alerts.push(&at(1), &other), Told::Hushed);
    }

    #[test]
    fn another_host_name_is_another_alert() {
        let mut alerts = Alerts::new(16);
        let mut other = at(0);
        other.detail.facts = crate::l7::Facts::default();

        alerts.push(&at(0), &alert());
        alerts.push(&other, &alert());

        assert_eq!(
            alerts.newest().map(|entry| entry.count).collect::<Vec<_>>(),
            [1, 1]
        );
    }

    #[test]
    fn a_full_ring_gives_up_the_oldest() {
        let mut alerts = Alerts::new(3);

        for n in 0..5 {
            alerts.push(&from(n, 0), &alert());
        }

        assert_eq!(
            alerts.newest().map(|entry| entry.id).collect::<Vec<_>>(),
            [5, 4, 3]
        );
    }

    #[test]
    fn more_rules_than_remembered_do_no_harm() {
        let mut alerts = Alerts::new(4);

        for script in 0..3 * RULES as u16 {
            assert_eq!(alerts.push(&at(0), &Alert { script, ..alert() }), LINE);
        }
    }

    #[test]
    fn a_filter_shows_what_it_names() {
        let mut alerts = Alerts::new(16);
        alerts.push(&from(1, 0), &alert());
        alerts.push(
            &from(2, 0),
            &Alert {
                script: 9,
                ..alert()
            },
        );
        let shown = |filter: Filter| {
            alerts
                .newest()
                .filter(|e| filter.admits(e))
                .map(|e| e.id)
                .collect::<Vec<_>>()
        };

        assert_eq!(shown(Filter::default()), [2, 1]);
        assert_eq!(
            shown(Filter {
                address: Some(IpAddr::from([10, 0, 0, 1])),
                ..Filter::default()
            }),
            [1]
        );
        assert_eq!(
            shown(Filter {
                script: Some(9),
                ..Filter::default()
            }),
            [2]
        );
        assert!(
            shown(Filter {
                status: Some(1),
                ..Filter::default()
            })
            .is_empty()
        );
    }

    #[test]
    fn a_note_says_only_what_there_is_to_say() {
        assert_eq!(LINE.note(), "");
        assert_eq!(
            Told::Line {
                repeated: 2,
                held: 0
            }
            .note(),
            " (repeated 2 times)"
        );
        assert_eq!(
            Told::Line {
                repeated: 0,
                held: 3
            }
            .note(),
            " (3 others of this rule not shown)"
        );
    }
}

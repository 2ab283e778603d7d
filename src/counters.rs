//! What we count: one struct a stage of the packet path, with the names the status page and `stats` events show.
//!
//! Plain numbers: each thread counts for itself and hands out copies, which [`Counters::add`] sums.

/// A stage's struct of counters, with their names.
macro_rules! counters {
    ($(#[$doc:meta])* $stage:ident { $($(#[$about:meta])* $name:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $stage { $($(#[$about])* pub $name: u64,)* }

        impl $stage {
            /// Names and values, in the order they are declared.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// Adds another thread's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)*
            }
        }
    };
}

counters! {
    /// What came in.
    Packets {
        /// Packets handled.
        seen,
        /// IP bytes of them.
        bytes,
        /// Packets with less of them copied to us than they have.
        truncated,
        /// Fragments, which are passed or joined before they come here.
        fragments,
    }
}

counters! {
    /// What was answered, a packet.
    Verdicts {
        /// Passed, and the next one of the flow is shown to us.
        pass,
        /// Passed, and the kernel carries the rest.
        pass_flow,
        /// Passed with the mark for the owner's own rules.
        mark_flow,
        /// Dropped.
        drop,
        /// Dropped, and the kernel drops the rest.
        drop_flow,
        /// Dropped, and the kernel answers the rest.
        reject_flow,
        /// In monitor mode: passed where enforcement would have dropped.
        would_drop,
        /// Passed without a look because we were too slow.
        unseen,
    }
}

counters! {
    /// The flow table.
    Flows {
        /// Flows seen for the first time.
        created,
        /// Ended by silence.
        ended_timeout,
        /// Ended by TCP.
        ended_closed,
        /// Given up for a new one.
        ended_evicted,
        /// Ended because we stop.
        ended_shutdown,
        /// Passed without a look because the owner exempts them.
        exempt,
        /// Dropped, or in monitor mode: would have been.
        condemned,
        /// Directions whose first bytes found no buffer, or did not fit it.
        streams_lost,
        /// Flows with segments that contradict each other.
        ambiguous,
    }
}

counters! {
    /// Detection.
    Detection {
        /// Flows whose protocol was found.
        settled,
        /// Flows named by their port only.
        guessed,
        /// Flows given up without a name.
        gave_up,
        /// Facts cut or left out for want of room.
        facts_cut,
    }
}

counters! {
    /// Scripts on the packet path.
    Scripts {
        /// Calls of hooks.
        calls,
        /// Calls that ended in an error.
        errors,
        /// Calls stopped because they took too long.
        overruns,
        /// Calls that met the memory limit.
        out_of_memory,
        /// Scripts switched off after too many failures.
        disabled,
        /// Calls left out, for a full table's sake.
        skipped,
        /// Statuses that found no room in their flow.
        statuses_lost,
    }
}

counters! {
    /// What was told.
    Events {
        /// Handed on to the worker.
        sent,
        /// Not handed on: its ring was full.
        lost,
        /// Alerts raised.
        alerts,
        /// Alerts like an earlier one, counted instead of told.
        alerts_hushed,
        /// Event lines written.
        lines,
        /// Event lines an output could not take.
        lines_lost,
    }
}

/// Most kinds a [`Kinds`] can count.
const MAX_KINDS: usize = 24;

/// Counters by a kind that another module numbers and names, such as malformed packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    names: &'static [&'static str],
    counts: [u64; MAX_KINDS],
}

impl Kinds {
    /// None counted yet. At most 24 names.
    pub const fn new(names: &'static [&'static str]) -> Kinds {
        assert!(
            names.len() <= MAX_KINDS,
            "more kinds than there is room for"
        );
        Kinds {
            names,
            counts: [0; MAX_KINDS],
        }
    }

    /// One more of kind `index`, which has a name.
    pub fn count(&mut self, index: usize) {
        debug_assert!(index < self.names.len());
        self.counts[index] = self.counts[index].saturating_add(1);
    }

    /// Names and values, in the order of the names.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        self.names.iter().copied().zip(self.counts)
    }

    /// Adds another thread's, which has the same names.
    pub fn add(&mut self, other: &Kinds) {
        if self.names.is_empty() {
            self.names = other.names;
        }
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

/// All counters of one packet thread, or of several summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // a stage each
pub struct Counters {
    pub packets: Packets,
    /// Packets that could not be read, by what is wrong with them.
    pub malformed: Kinds,
    pub verdicts: Verdicts,
    pub flows: Flows,
    pub detection: Detection,
    pub scripts: Scripts,
    pub events: Events,
}

impl Counters {
    /// All zero; `malformed` are the names of what can be wrong with a packet.
    pub fn new(malformed: &'static [&'static str]) -> Counters {
        Counters {
            malformed: Kinds::new(malformed),
            ..Counters::default()
        }
    }

    /// Stage, name and value of each, in the order of the packet path.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + use<> {
        let stage = |stage| move |(name, value)| (stage, name, value);
        self.packets
            .each()
            .map(stage("packets"))
            .chain(self.malformed.each().map(stage("malformed")))
            .chain(self.verdicts.each().map(stage("verdicts")))
            .chain(self.flows.each().map(stage("flows")))
            .chain(self.detection.each().map(stage("detection")))
            .chain(self.scripts.each().map(stage("scripts")))
            .chain(self.events.each().map(stage("events")))
    }

    /// Adds another thread's.
    pub fn add(&mut self, other: &Counters) {
        self.packets.add(&other.packets);
        self.malformed.add(&other.malformed);
        self.verdicts.add(&other.verdicts);
        self.flows.add(&other.flows);
        self.detection.add(&other.detection);
        self.scripts.add(&other.scripts);
        self.events.add(&other.events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRONG: &[&str] = &["short_header", "bad_length"];

    #[test]
    fn each_counter_comes_with_its_stage_and_name() {
        let mut counters = Counters::new(WRONG);
        counters.packets.seen = 7;
        counters.malformed.count(1);
        counters.events.lost = 2;

        let set: Vec<_> = counters.each().filter(|(_, _, value)| *value > 0).collect();

        assert_eq!(
            set,
            [
                ("packets", "seen", 7),
                ("malformed", "bad_length", 1),
                ("events", "lost", 2)
            ]
        );
    }

    #[test]
    fn no_name_stands_twice_in_a_stage() {
        let names: Vec<_> = Counters::new(WRONG)
            .each()
            .map(|(stage, name, _)| (stage, name))
            .collect();

        let distinct: std::collections::HashSet<_> = names.iter().collect();

        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn threads_add_up() {
        let mut sum = Counters::default();
        let mut one = Counters::new(WRONG);
        one.verdicts.drop_flow = 3;
        one.malformed.count(0);

        sum.add(&one);
        sum.add(&one);

        assert_eq!(sum.verdicts.drop_flow, 6);
        assert_eq!(
            sum.malformed.each().collect::<Vec<_>>(),
            [("short_header", 2), ("bad_length", 0)]
        );
    }
}

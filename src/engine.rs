//! The packet path: a packet comes in, a verdict goes out; all between is a function of the packet, our
//! state and the time.
//!
//! Read [`Engine::handle`] from top to bottom and you have read the product. It allocates nothing, logs
//! nothing, waits for nothing; what happened goes into counters and into [`Outbox`].

use crate::counters::Counters;
use crate::events::{End, Event, Kind, Outbox, Record};
use crate::flow::key::Dir;
use crate::flow::table::FlowTable;
use crate::flow::{Flow, L7, Stage, flag, tcp};
use crate::l7::detector::{Detector, Progress, Seen, Segment};
use crate::packet::{L4, Malformed, Packet, tcp_flag};
use crate::policy::{Judgement, Policy};
use crate::script::current::Hook;
use crate::script::{PERIOD_SECS, Phase, Scripts};
use crate::time::{Micros, Now};
use crate::verdict::{Class, Reason, Verdict};

/// The whole table is looked over once in this time.
const SWEEP: Micros = Micros::from_secs(1);
/// Shortest time worth a piece of a sweep.
const SWEEP_STEP: Micros = Micros::from_millis(10);
/// Flows whose slot was needed get their last hooks, but no more than this many a sweep: in a flood the
/// packets of others come first, and what was left out is counted.
const EVICTED_HOOKS: u32 = 64;

/// A packet as queue or capture hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// From the IP header on; may be cut short of what the headers say.
    pub ip: &'a [u8],
    /// 802.1Q id, 0 without.
    pub vlan: u16,
    /// Sender's MAC address, where known.
    pub mac: Option<[u8; 6]>,
}

/// One packet thread's world: its flows, its detector, its scripts.
pub struct Engine {
    flows: FlowTable,
    detector: Detector,
    scripts: Scripts,
    policy: Policy,
    /// What happened, for whoever writes it down. Drain it after each packet or batch.
    pub outbox: Outbox,
    counters: Counters,
    now: Now,
    flows_seen: u64,
    sweep_slot: usize,
    swept_at: Micros,
    evicted_hooks: u32,
}

impl Engine {
    /// An engine over tables already taken.
    pub fn new(
        flows: FlowTable,
        detector: Detector,
        scripts: Scripts,
        policy: Policy,
        outbox: Outbox,
    ) -> Self {
        Engine {
            flows,
            detector,
            scripts,
            policy,
            outbox,
            counters: Counters::new(&Malformed::NAMES),
            now: Now::default(),
            flows_seen: 0,
            sweep_slot: 0,
            swept_at: Micros::default(),
            evicted_hooks: EVICTED_HOOKS,
        }
    }

    /// The answer for one packet. Time that goes back is taken as standing still.
    pub fn handle(&mut self, arrival: &Arrival, now: Now) -> Verdict {
        self.tick(now);
        self.counters.packets.seen += 1;
        let packet = match Packet::parse(arrival.ip, arrival.vlan) {
            Ok(packet) => packet,
            Err(kind) => return self.refuse(kind),
        };
        self.counters.packets.bytes += u64::from(packet.ip_len);

        let slot = self.slot_of(&packet, arrival.mac);
        let dir = self.account(slot, &packet);
        if !self.flows.flow(slot).verdict.is_final() {
            self.inspect(slot, dir, &packet);
        }
        self.answer(slot)
    }

    /// Takes note of the time and looks over the piece of the table that is due: ends flows, gives up
    /// detections, runs `periodicUpdate`. The work is bounded by the table's size a second.
    pub fn tick(&mut self, now: Now) {
        self.now = Now {
            mono: now.mono.max(self.now.mono),
            wall: now.wall,
        };
        let elapsed = self.now.mono.since(self.swept_at);
        if elapsed < SWEEP_STEP {
            return;
        }
        let capacity = self.flows.capacity();
        let due = capacity as u64 * elapsed.0.min(SWEEP.0) / SWEEP.0;
        self.swept_at = self.now.mono;
        self.sweep(due as usize + 1);
    }

    /// Ends all flows, as at shutdown or at the end of a capture.
    pub fn finish(&mut self, mut each: impl FnMut(&mut Self)) {
        let mut from = 0;
        while let Some(slot) = self.flows.next_used(from, self.flows.capacity()) {
            self.end(slot, End::Shutdown);
            each(self);
            from = slot + 1;
        }
    }

    /// New rules from here on; flows and their scores stay.
    pub fn reload(&mut self, scripts: Scripts, policy: Policy, now: Now) {
        self.scripts.stop(now);
        let before = std::mem::replace(&mut self.scripts, scripts);
        self.scripts.start(Some(before.catalog()), now);
        self.policy = policy;
    }

    /// What was counted so far, by all stages.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        let detector = &self.detector.counters;
        counters.packets.truncated = detector.short_copies;
        counters.flows.streams_lost = detector.no_buffer + detector.too_many_holes;
        counters.flows.ambiguous = detector.ambiguous;
        counters.detection.gave_up = detector.given_up;
        counters.events.sent = self.outbox.taken;
        counters.events.lost = self.outbox.lost;
        for script in self.scripts.counters() {
            counters.scripts.calls += script.calls;
            counters.scripts.errors += script.errors;
            counters.scripts.overruns += script.overruns;
            counters.scripts.disabled += u64::from(script.stopped);
        }
        counters
    }

    /// The scripts, for their names and counters.
    pub fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// Flows in the table, and how many fit.
    pub fn fill(&self) -> (usize, usize) {
        (self.flows.len(), self.flows.capacity())
    }

    /// A packet that is none we can place is counted, and passes unless the owner wants to fail closed.
    fn refuse(&mut self, kind: Malformed) -> Verdict {
        self.counters.malformed.count(kind as usize);
        match self.policy.fail_open {
            true => Verdict::Pass,
            false => Verdict::Drop,
        }
    }

    /// The slot of the packet's flow, begun if it is not there.
    fn slot_of(&mut self, packet: &Packet, mac: Option<[u8; 6]>) -> usize {
        if let Some(slot) = self.flows.find(&packet.key) {
            match self.over(self.flows.flow(slot), packet) {
                Some(end) => self.end(slot, end),
                None => return slot,
            }
        }
        let slot = self.flows.slot_for(&packet.key);
        if self.flows.flow(slot).in_use() {
            self.end(slot, End::Evicted);
        }
        self.begin(slot, packet, mac);
        slot
    }

    /// Whether `packet`, though its key is the flow's, begins another flow.
    fn over(&self, flow: &Flow, packet: &Packet) -> Option<End> {
        if flow.tcp == tcp::State::Closed && opens(packet) {
            return Some(End::Closed);
        }
        let silent = self.now.mono.since(flow.last_seen);
        (silent > tcp::timeout(flow)).then(|| end_of(flow))
    }

    fn begin(&mut self, slot: usize, packet: &Packet, mac: Option<[u8; 6]>) {
        self.flows_seen += 1;
        self.counters.flows.created += 1;
        let from_client = from_client(packet);
        let mut flags = 0;
        if packet.from_low == from_client {
            flags |= flag::CLIENT_IS_LOW;
        }
        let client_mac = mac.filter(|_| from_client);
        if client_mac.is_some() {
            flags |= flag::HAS_MAC;
        }
        let mut flow = Flow {
            key: packet.key,
            id: self.flows_seen,
            first_seen: self.now.mono,
            last_seen: self.now.mono,
            periodic_due_secs: self.now.mono.as_secs() as u32 + PERIOD_SECS,
            stage: Stage::New,
            flags,
            client_mac: client_mac.unwrap_or_default(),
            ..Flow::default()
        };
        if let L4::Icmp { kind, code } = packet.l4 {
            flow.icmp = [kind, code];
        }
        Detector::begin(&mut flow);
        if let Some(exempt) = self.policy.exemption(&flow) {
            self.counters.flows.exempt += 1;
            flow.flags |= flag::DETECTED;
            settle(&mut flow, exempt);
        }
        self.flows.claim(slot, flow);
    }

    fn account(&mut self, slot: usize, packet: &Packet) -> Dir {
        let (flow, _) = self.flows.at(slot);
        let dir = flow.dir(packet.from_low);
        flow.last_seen = self.now.mono;
        let counters = &mut flow.counters[dir as usize];
        counters.packets = counters.packets.saturating_add(1);
        counters.bytes += u64::from(packet.ip_len);
        counters.payload += u64::from(packet.payload_len);
        if let L4::Tcp { flags, seq, .. } = packet.l4 {
            tcp::advance(flow, dir, flags, seq, packet.payload_len);
        }
        if flow.stage == Stage::New && (packet.payload_len > 0 || flow.has(flag::HANDSHAKE)) {
            flow.stage = Stage::Probing;
        }
        dir
    }

    /// Detection, and what follows from what it finds.
    fn inspect(&mut self, slot: usize, dir: Dir, packet: &Packet) {
        let (flow, detail) = self.flows.at(slot);
        let progress = self.detector.feed(flow, detail, &seen(dir, packet));
        if progress >= Progress::Request && !flow.has(flag::EARLY_DONE) {
            flow.flags |= flag::EARLY_DONE; // whether or not a script is there to run
            self.run(slot, Hook::ProtocolDetected, Phase::Early, Ruling::OnlyDrop);
        }
        if progress == Progress::Done {
            self.detected(slot, Ruling::Final);
        }
    }

    /// Detection is over, settled or given up: `protocolDetected` runs.
    fn detected(&mut self, slot: usize, ruling: Ruling) {
        let (flow, detail) = self.flows.at(slot);
        flow.flags |= flag::DETECTED;
        let counters = &mut self.counters.detection;
        counters.settled += u64::from(flow.l7 != L7::default() && !flow.l7.guessed);
        counters.guessed += u64::from(flow.l7.guessed);
        counters.facts_cut += u64::from(detail.facts.cut);
        if let Some(kind) = Kind::of(flow.l7.master) {
            self.tell(slot, kind, Event::Detected);
        }
        self.run(slot, Hook::ProtocolDetected, Phase::Complete, ruling);
    }

    /// Runs the scripts of a hook, then judges, then tells: an alert shows the verdict it led to.
    fn run(&mut self, slot: usize, hook: Hook, phase: Phase, ruling: Ruling) {
        let (flow, detail) = self.flows.at(slot);
        if matches!(flow.reason, Reason::Exempt(_)) {
            return;
        }
        let alert = match self.scripts.has(hook) {
            true => self.scripts.run(hook, phase, flow, detail, self.now),
            false => None,
        };
        if ruling != Ruling::None {
            self.judge(slot, ruling);
        }
        if let Some(alert) = alert {
            self.tell(slot, Kind::Alert, |record| Event::Alert(record, alert));
        }
    }

    /// Takes over what policy says. A flow once dropped stays dropped.
    fn judge(&mut self, slot: usize, ruling: Ruling) {
        let (flow, detail) = self.flows.at(slot);
        if flow.verdict.drops() {
            return;
        }
        let judgement = self.policy.decide(&detail.statuses);
        if ruling == Ruling::OnlyDrop && !judgement.would.drops() {
            return;
        }
        if ruling == Ruling::Final || judgement.verdict.drops() {
            settle(flow, judgement);
            self.detector.release(flow);
        } else {
            (flow.would, flow.reason) = (judgement.would, judgement.reason);
        }
        if judgement.would.drops() && !flow.has(flag::DROP_TOLD) {
            flow.flags |= flag::DROP_TOLD;
            self.counters.flows.condemned += 1;
            self.tell(slot, Kind::Drop, Event::Drop);
        }
    }

    fn tell(&mut self, slot: usize, kind: Kind, event: impl FnOnce(Record) -> Event) {
        if !self.outbox.wants(kind) {
            return;
        }
        let (flow, detail) = self.flows.at(slot);
        let record = Record {
            flow: *flow,
            detail: *detail,
            now: self.now,
        };
        self.outbox.push(event(record));
    }

    /// The verdict that holds, counted.
    fn answer(&mut self, slot: usize) -> Verdict {
        let (flow, _) = self.flows.at(slot);
        flow.packets_dropped += u32::from(flow.verdict.drops());
        let verdicts = &mut self.counters.verdicts;
        verdicts.would_drop += u64::from(flow.would.drops() && !flow.verdict.drops());
        *match flow.verdict {
            Verdict::Pass => &mut verdicts.pass,
            Verdict::PassFlow(Class::Marked) => &mut verdicts.mark_flow,
            Verdict::PassFlow(Class::Plain | Class::Offload) => &mut verdicts.pass_flow,
            Verdict::Drop => &mut verdicts.drop,
            Verdict::DropFlow => &mut verdicts.drop_flow,
            Verdict::RejectFlow => &mut verdicts.reject_flow,
        } += 1;
        flow.verdict
    }

    fn sweep(&mut self, slots: usize) {
        let mut left = slots.min(self.flows.capacity());
        while left > 0 {
            let stop = (self.sweep_slot + left).min(self.flows.capacity());
            let mut from = self.sweep_slot;
            while let Some(slot) = self.flows.next_used(from, stop) {
                self.look_over(slot);
                from = slot + 1;
            }
            left -= stop - self.sweep_slot;
            self.sweep_slot = stop;
            if stop == self.flows.capacity() {
                self.sweep_slot = 0;
                self.evicted_hooks = EVICTED_HOOKS;
            }
        }
    }

    fn look_over(&mut self, slot: usize) {
        let flow = self.flows.flow(slot);
        let silent = self.now.mono.since(flow.last_seen);
        if silent > tcp::timeout(flow) {
            let end = end_of(flow);
            self.end(slot, end);
            return;
        }
        if flow.stage == Stage::Probing
            && silent > self.detector.max_silence
            && !flow.has(flag::DETECTED)
        {
            self.give_up(slot, Ruling::Final);
        }
        let (flow, _) = self.flows.at(slot);
        let secs = self.now.mono.as_secs() as u32;
        if secs >= flow.periodic_due_secs && flow.has(flag::DETECTED) {
            flow.periodic_due_secs = secs + PERIOD_SECS;
            self.run(slot, Hook::PeriodicUpdate, Phase::All, Ruling::Final);
        }
    }

    fn give_up(&mut self, slot: usize, ruling: Ruling) {
        let (flow, detail) = self.flows.at(slot);
        self.detector.give_up(flow, detail);
        self.detected(slot, ruling);
    }

    /// Closes the books of a flow: what is still owed to scripts, then its record. Frees the slot.
    fn end(&mut self, slot: usize, end: End) {
        *match end {
            End::Timeout => &mut self.counters.flows.ended_timeout,
            End::Closed => &mut self.counters.flows.ended_closed,
            End::Evicted => &mut self.counters.flows.ended_evicted,
            End::Shutdown => &mut self.counters.flows.ended_shutdown,
        } += 1;
        if end != End::Evicted || self.evicted_hooks > 0 {
            self.evicted_hooks -= u32::from(end == End::Evicted);
            if !self.flows.flow(slot).has(flag::DETECTED) {
                self.give_up(slot, Ruling::None);
            }
            self.run(slot, Hook::FlowEnd, Phase::All, Ruling::None);
        } else {
            self.counters.scripts.skipped += 1;
        }
        let (flow, _) = self.flows.at(slot);
        self.detector.release(flow);
        self.tell(slot, Kind::Flow, |record| Event::FlowEnd(record, end));
        self.flows.free(slot);
    }
}

/// What follows for the verdict once scripts have run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ruling {
    /// Nothing: the flow is over.
    None,
    /// Detection goes on, so only a drop counts.
    OnlyDrop,
    /// Whatever policy says holds.
    Final,
}

/// Whether a packet opens a TCP connection.
fn opens(packet: &Packet) -> bool {
    matches!(packet.l4, L4::Tcp { flags, .. } if flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN)
}

/// Whether the first packet we see of a flow comes from its client. A SYN+ACK does not; what we meet in the
/// middle comes from whoever does not have the well-known port.
fn from_client(packet: &Packet) -> bool {
    match packet.l4 {
        L4::Tcp { flags, .. } if flags & tcp_flag::SYN != 0 => flags & tcp_flag::ACK == 0,
        L4::Tcp { .. } | L4::Udp => packet.src().1 >= 1024 || packet.dst().1 < 1024,
        L4::Icmp { .. } | L4::Other => true,
    }
}

/// The part of a packet detection looks at.
fn seen<'a>(dir: Dir, packet: &Packet<'a>) -> Seen<'a> {
    let segment = match packet.l4 {
        L4::Tcp { seq, flags, .. } => Some(Segment {
            seq,
            syn: flags & tcp_flag::SYN != 0,
        }),
        L4::Udp | L4::Icmp { .. } | L4::Other => None,
    };
    Seen {
        dir,
        tcp: segment,
        payload: packet.payload,
        payload_len: packet.payload_len as usize,
    }
}

/// How a silent flow ended.
fn end_of(flow: &Flow) -> End {
    if flow.tcp == tcp::State::Closed {
        End::Closed
    } else {
        End::Timeout
    }
}

fn settle(flow: &mut Flow, judgement: Judgement) {
    flow.verdict = judgement.verdict;
    flow.would = judgement.would;
    flow.reason = judgement.reason;
    flow.decided_at = flow.packets().min(u32::from(u16::MAX)) as u16;
    flow.stage = if judgement.verdict.drops() {
        Stage::Dropped
    } else {
        Stage::Decided
    };
}

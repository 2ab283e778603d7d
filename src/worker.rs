//! The slow side: event lines out, alerts remembered, drops told to the log, counters gathered. Runs on
//! the main thread; whatever it waits for, no packet waits for it.

use std::sync::Arc;

use crate::alerts::{Alerts, Told};
use crate::config::{Config, Eve, Output};
use crate::counters::Counters;
use crate::events::eve::Context;
use crate::events::output::Outputs;
use crate::events::{Event, Kind, Record};
use crate::logging::NOTICE;
use crate::script::catalog::Catalog;
use crate::time::{Micros, Now};

/// Time between two `stats` events.
const STATS_PERIOD: Micros = Micros::from_secs(60);

/// What a packet thread tells the worker.
#[allow(clippy::large_enum_variant)] // the channel's slots are taken once, at start
pub enum Message {
    /// Something happened to a flow.
    Event(Event),
    /// The scripts that run from here on; later events use their numbers.
    Scripts(Arc<Catalog>),
    /// Counters of the packet thread with this index, now.
    Counters(usize, Counters),
}

/// Whether the worker has a use for events of this kind: an output takes it, or alerts and log do.
pub fn wants(config: &Config, kind: Kind) -> bool {
    let taken = |eve: &Eve| eve.enabled && eve.output != Output::Off && eve.kinds.contains(&kind);
    matches!(kind, Kind::Alert | Kind::Drop) || config.eve.iter().any(taken)
}

/// What the worker keeps.
pub struct Worker {
    config: Arc<Config>,
    catalog: Arc<Catalog>,
    outputs: Outputs,
    alerts: Alerts,
    counters: Vec<Counters>,
    started: Micros,
    stats_due: Micros,
}

impl Worker {
    /// A worker for `threads` packet threads that remembers `alerts` alerts.
    pub fn new(config: Arc<Config>, threads: usize, alerts: usize, now: Now) -> Self {
        Worker {
            outputs: Outputs::open(&config.eve),
            config,
            catalog: Arc::default(),
            alerts: Alerts::new(alerts),
            counters: vec![Counters::default(); threads],
            started: now.mono,
            stats_due: now.mono + STATS_PERIOD,
        }
    }

    /// New configuration from here on. Outputs are opened anew.
    pub fn reload(&mut self, config: Arc<Config>) {
        self.outputs = Outputs::open(&config.eve);
        self.config = config;
    }

    /// Takes in one message.
    pub fn take(&mut self, message: Message) {
        match message {
            Message::Event(event) => self.event(&event),
            Message::Scripts(catalog) => self.catalog = catalog,
            Message::Counters(thread, counters) => self.counters[thread] = counters,
        }
    }

    /// What is due by time alone. To be called at least once a second.
    pub fn tick(&mut self, now: Now) {
        let Worker {
            alerts, catalog, ..
        } = self;
        alerts.due(now.mono, |entry, told| {
            let status = catalog.status_name(entry.alert.status);
            tell_alert(catalog, &entry.record, status, entry.alert.script, told);
        });
        if now.mono >= self.stats_due {
            self.stats_due = now.mono + STATS_PERIOD;
            self.stats(now);
        }
        log::logger().flush();
    }

    /// The counters of all packet threads and of the worker.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for counters in &self.counters {
            sum.add(counters);
        }
        sum.events.alerts_hushed += self.alerts.hushed;
        sum.events.lines += self.outputs.lines;
        sum.events.lines_lost += self.outputs.lost;
        sum
    }

    /// Writes a `stats` event.
    pub fn stats(&mut self, now: Now) {
        let counters = self.counters();
        self.outputs
            .stats(now, now.mono.since(self.started), &counters);
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Alert(record, alert) => {
                let told = self.alerts.push(record, alert);
                let status = self.catalog.status_name(alert.status);
                tell_alert(&self.catalog, record, status, alert.script, told);
            }
            Event::Drop(record) => self.tell_drop(record),
            Event::FlowEnd(..) | Event::Detected(_) => {}
        }
        let context = context(&self.config, &self.catalog);
        self.outputs.event(event, &context);
    }

    /// One line a block decision, at notice: what was blocked, for whom, why.
    fn tell_drop(&self, record: &Record) {
        let flow = &record.flow;
        let done = if flow.verdict.drops() {
            flow.verdict.word()
        } else {
            "would drop"
        };
        log::info!(
            target: NOTICE,
            "{done} {} {} -> {}: {}",
            flow.l7.name(),
            flow.client().0,
            flow.server().0,
            context(&self.config, &self.catalog).reason(flow.reason)
        );
    }
}

fn context<'a>(config: &'a Config, catalog: &'a Catalog) -> Context<'a> {
    Context {
        names: catalog,
        places: config,
        mode: config.mode,
        score_mode: config.score_mode,
    }
}

fn tell_alert(catalog: &Catalog, record: &Record, status: &str, script: u16, told: Told) {
    if told == Told::Hushed {
        return;
    }
    log::info!(
        "alert {status} by {} for {} -> {}{}",
        catalog.script_name(script),
        record.flow.client().0,
        record.flow.server().0,
        told.note()
    );
}

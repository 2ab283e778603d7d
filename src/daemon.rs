//! The running engine: one packet thread a queue, the worker on the main thread, the watchdog. Makes them,
//! passes signals on, ends them.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::budget::{BOARD_DIR, Budget, BudgetError, Machine};
use crate::config::{Config, ConfigError};
use crate::engine::{Arrival, Engine};
use crate::queue::{self, Answer, Marks, Packet, Queue, QueueConfig, QueueError, Watchdog};
use crate::script::env::Env;
use crate::script::{Scripts, ScriptsError};
use crate::setup;
use crate::time::{Micros, Now};
use crate::worker::{self, Message, Worker};

/// Longest a packet thread sleeps, and with it the delay of a signal or of a sweep.
const TURN: Duration = Duration::from_millis(100);
/// Longest a script may take over one call, whatever it counts; far below what the watchdog bears with.
const HOOK_LIMIT: Duration = Duration::from_millis(50);
/// How often a packet thread hands over its counters.
const COUNTERS_PERIOD: Micros = Micros::from_secs(1);
/// Packet threads call C and Lua; musl would give them 128 KiB.
const STACK_BYTES: usize = 512 * 1024;

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum DaemonError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Budget(#[from] BudgetError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("a packet thread ended by itself; the lines above say why")]
    Thread,
    #[error("cannot start a thread or take signals")]
    System(#[from] io::Error),
}

impl DaemonError {
    /// The process' exit code for it.
    pub fn exit_code(&self) -> u8 {
        match self {
            DaemonError::Config(_) | DaemonError::Budget(_) => 2,
            DaemonError::Queue(error) => error.exit_code(),
            DaemonError::Thread | DaemonError::System(_) => 1,
        }
    }
}

/// Runs until told to stop (TERM, INT); HUP reads configuration and scripts again.
///
/// # Errors
/// Nothing is running when it returns one.
pub fn run(config_file: &Path) -> Result<(), DaemonError> {
    let config = Arc::new(Config::load(config_file)?);
    crate::logging::set_level(config.log_level);
    if !config.enabled {
        log::warn!(
            "main.enabled is 0 in {}: running all the same, as asked by hand",
            config_file.display()
        );
    }
    let budget = Budget::choose(&config, &Machine::read(), Path::new(BOARD_DIR))?;
    let signals = Signals::take()?;
    volunteer_for_the_oom_killer();

    let (sender, messages) = mpsc::sync_channel(budget.event_ring as usize);
    let mut threads = Vec::new();
    let mut watched = Vec::new();
    for index in 0..budget.queues {
        let number = config.queue_base + u16::from(index);
        let queue = Queue::open(&queue_config(&config, &budget, number))?;
        watched.push(queue.watched());
        threads.push(Thread::start(
            usize::from(index),
            queue,
            &config,
            &budget,
            &sender,
            &signals,
        )?);
    }
    drop(sender);
    let watchdog = Watchdog::start(queue::LIMIT, watched)?;
    log::info!(
        target: crate::logging::NOTICE,
        "inspecting: {} queue(s) from {}, {} flows, mode {:?}, threshold {}",
        budget.queues, config.queue_base, budget.flows, config.mode, config.threshold
    );

    let worker = Worker::new(
        config,
        threads.len(),
        budget.alert_ring as usize,
        queue::now(),
    );
    serve(worker, &messages, &threads, &signals, config_file);

    drop(watchdog);
    let ended_well = threads
        .into_iter()
        .map(Thread::join)
        .fold(true, |all, one| all & one);
    if !ended_well {
        return Err(DaemonError::Thread);
    }
    log::info!(target: crate::logging::NOTICE, "stopped");
    Ok(())
}

/// If memory runs out, better us than the router's DHCP or SSH: traffic passes without us. Where it cannot be
/// said, nothing is lost.
fn volunteer_for_the_oom_killer() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "200");
}

/// The worker's loop, until all packet threads have gone.
fn serve(
    mut worker: Worker,
    messages: &Receiver<Message>,
    threads: &[Thread],
    signals: &Signals,
    config_file: &Path,
) {
    loop {
        match messages.recv_timeout(TURN) {
            Ok(message) => worker.take(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // What has gathered is taken in before the clock is read again.
        for message in messages.try_iter().take(256) {
            worker.take(message);
        }
        worker.tick(queue::now());
        if signals.reload.swap(false, Ordering::Relaxed) {
            reload(&mut worker, threads, config_file);
        }
    }
    worker.stats(queue::now());
}

/// A configuration that does not hold changes nothing: the old one goes on.
fn reload(worker: &mut Worker, threads: &[Thread], config_file: &Path) {
    match Config::load(config_file) {
        Ok(config) => {
            let config = Arc::new(config);
            crate::logging::set_level(config.log_level);
            for thread in threads {
                // A full mailbox means a reload is on its way already, and it will read the same scripts.
                let _ = thread
                    .commands
                    .try_send(Command::Reload(Arc::clone(&config)));
            }
            worker.reload(config);
            log::info!(target: crate::logging::NOTICE, "configuration read again");
        }
        Err(error) => log::error!("{error}; the configuration before it stays in force"),
    }
}

fn queue_config(config: &Config, budget: &Budget, number: u16) -> QueueConfig {
    QueueConfig {
        copy_range: budget.copy_range,
        recv_buffer: budget.recv_buffer_bytes,
        // Queue and buffer fill together, a small packet taking some 800 bytes of it. The classes' buffers hold
        // 50 to 100 ms of what their boards can be asked at most.
        max_len: (budget.recv_buffer_bytes / 1024) as u32,
        fail_open: config.fail_open,
        ..QueueConfig::new(number)
    }
}

/// Signals as flags.
struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    fn take() -> io::Result<Signals> {
        let signals = Signals {
            stop: Arc::default(),
            reload: Arc::default(),
        };
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&signals.stop))?;
        }
        signal_hook::flag::register(SIGHUP, Arc::clone(&signals.reload))?;
        Ok(signals)
    }
}

/// What the worker asks of a packet thread.
enum Command {
    /// Judge by this from here on.
    Reload(Arc<Config>),
}

/// A packet thread, as its owner holds it.
struct Thread {
    commands: SyncSender<Command>,
    handle: JoinHandle<bool>,
}

impl Thread {
    fn start(
        index: usize,
        queue: Queue,
        config: &Arc<Config>,
        budget: &Budget,
        messages: &SyncSender<Message>,
        signals: &Signals,
    ) -> io::Result<Thread> {
        let (commands, inbox) = mpsc::sync_channel(1);
        let (config, budget, messages) = (Arc::clone(config), *budget, messages.clone());
        let stop = Arc::clone(&signals.stop);
        let handle = std::thread::Builder::new()
            .name(format!("packets-{index}"))
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // However it ends, the others end too: whoever supervises the process starts it whole.
                let _all = EndsAll(Arc::clone(&stop));
                let thread = PacketThread::new(index, queue, &config, budget, inbox, messages);
                match thread {
                    Ok(thread) => thread.run(&stop),
                    // Without scripts nothing could be judged.
                    Err(error) => log::error!("{error}"),
                }
                stop.load(Ordering::Relaxed)
            })?;
        Ok(Thread { commands, handle })
    }

    /// Waits for its end; whether it ended because it was told to.
    fn join(self) -> bool {
        self.handle.join().unwrap_or(false)
    }
}

/// Tells all threads to stop when it goes.
struct EndsAll(Arc<AtomicBool>);

impl Drop for EndsAll {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A packet thread, from inside.
struct PacketThread {
    index: usize,
    queue: Queue,
    engine: Engine,
    env: Rc<Env>,
    marks: Marks,
    budget: Budget,
    inbox: Receiver<Command>,
    messages: SyncSender<Message>,
    told_at: Micros,
}

impl PacketThread {
    fn new(
        index: usize,
        queue: Queue,
        config: &Config,
        budget: Budget,
        inbox: Receiver<Command>,
        messages: SyncSender<Message>,
    ) -> Result<PacketThread, ScriptsError> {
        let env = setup::env(config);
        let scripts = load_scripts(config, &budget, &env)?;
        let mut engine = setup::engine(config, &budget, setup::random_seed(), scripts);
        engine.outbox.want_only(|kind| worker::wants(config, kind));
        let marks =
            Marks::new(config.ct_mask.bits()).expect("four bits: checked with the configuration");
        let told_at = Micros::default();
        Ok(PacketThread {
            index,
            queue,
            engine,
            env,
            marks,
            budget,
            inbox,
            messages,
            told_at,
        })
    }

    fn run(mut self, stop: &AtomicBool) {
        self.tell_scripts();
        while !stop.load(Ordering::Relaxed) {
            if let Ok(Command::Reload(config)) = self.inbox.try_recv() {
                self.reload(&config);
            }
            self.turn();
        }
        let PacketThread {
            queue,
            engine,
            marks,
            ..
        } = &mut self;
        if let Err(error) = queue.drain(|packet, now| answer(engine, *marks, packet, now)) {
            log::error!("{error}");
        }
        self.engine.finish(|engine| forward(engine, &self.messages));
        self.tell_counters();
    }

    fn turn(&mut self) {
        let PacketThread {
            queue,
            engine,
            marks,
            ..
        } = self;
        match queue.turn(TURN, |packet, now| answer(engine, *marks, packet, now)) {
            Ok(_) => {}
            Err(QueueError::Released { number }) => {
                log::error!("queue {number}: its thread is back; opening it again");
                self.reopen();
            }
            Err(error) => {
                log::error!("{error}");
                self.reopen();
            }
        }
        let now = queue::now();
        self.engine.tick(now);
        forward(&mut self.engine, &self.messages);
        if now.mono.since(self.told_at) >= COUNTERS_PERIOD {
            self.told_at = now.mono;
            self.tell_counters();
        }
    }

    fn reopen(&mut self) {
        if let Err(error) = self.queue.reopen() {
            log::error!("{error}; trying again");
            std::thread::sleep(TURN);
        }
    }

    /// Scripts and policy anew; flows, their scores and verdicts stay.
    fn reload(&mut self, config: &Config) {
        self.engine
            .outbox
            .want_only(|kind| worker::wants(config, kind));
        match load_scripts(config, &self.budget, &self.env) {
            Ok(scripts) => {
                let policy = setup::policy(config, &scripts);
                self.engine.reload(scripts, policy, queue::now());
                self.tell_scripts();
            }
            Err(error) => log::error!("{error}; the scripts before stay in force"),
        }
    }

    fn tell_scripts(&mut self) {
        let catalog = Arc::clone(self.engine.scripts().catalog());
        let _ = self.messages.send(Message::Scripts(catalog)); // fails only if the worker is gone
    }

    fn tell_counters(&mut self) {
        let mut counters = self.engine.counters();
        counters.verdicts.unseen = self.queue.counters().unseen;
        // With no room in the channel the next second's will do.
        let _ = self
            .messages
            .try_send(Message::Counters(self.index, counters));
    }
}

fn load_scripts(config: &Config, budget: &Budget, env: &Rc<Env>) -> Result<Scripts, ScriptsError> {
    let sources = setup::sources(config);
    setup::scripts(
        config,
        &sources,
        budget,
        env,
        setup::to_stdout(),
        Some(HOOK_LIMIT),
        queue::now(),
    )
}

fn answer(engine: &mut Engine, marks: Marks, packet: &Packet, now: Now) -> Answer {
    let arrival = Arrival {
        ip: packet.payload,
        vlan: packet.vlan,
        mac: packet.mac,
    };
    marks.answer(engine.handle(&arrival, now), packet.mark)
}

/// Events to the worker: what finds no room is counted, never waited for.
fn forward(engine: &mut Engine, messages: &SyncSender<Message>) {
    while let Some(event) = engine.outbox.pop() {
        match messages.try_send(Message::Event(event)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => engine.outbox.lost += 1,
        }
    }
}

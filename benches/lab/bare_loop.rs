//! The least an engine can do: takes every packet of a queue and accepts it. What inspection costs is measured
//! against this, and what our socket gains against `--nfq`, the same loop over the `nfq` crate as it comes.
//!
//!     bare_loop QUEUE [--batch-verdicts] [--nfq]
//!
//! Prints "ready" when bound; runs until killed.

use std::io::Write;
use std::time::Duration;

use flowreeve::queue::{Answer, Queue, QueueConfig};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let number = arguments.next().unwrap_or_default().parse()?;
    let options: Vec<String> = arguments.collect();
    let wants = |option: &str| options.iter().any(|given| given == option);
    if wants("--nfq") {
        return with_nfq(number);
    }
    let mut queue = Queue::open(&QueueConfig {
        batch: 64,
        batch_verdicts: wants("--batch-verdicts"),
        ..QueueConfig::new(number)
    })?;
    ready()?;
    loop {
        queue.turn(Duration::from_secs(1), |_, _| Answer::Accept)?;
    }
}

fn with_nfq(number: u16) -> anyhow::Result<()> {
    let mut queue = nfq::Queue::open()?;
    queue.bind(number)?;
    queue.set_copy_range(number, 1536)?;
    queue.set_queue_max_len(number, 8192)?;
    queue.set_fail_open(number, true)?;
    queue.set_recv_gso(number, true)?;
    ready()?;
    loop {
        let mut message = queue.recv()?;
        message.set_verdict(nfq::Verdict::Accept);
        queue.verdict(message)?;
    }
}

fn ready() -> anyhow::Result<()> {
    println!("ready");
    Ok(std::io::stdout().flush()?)
}

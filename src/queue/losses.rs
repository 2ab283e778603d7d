//! What the kernel says of a queue: `/proc/net/netfilter/nfnetlink_queue`. Readable by root only
//! (mode 0440); for an engine without, the gaps in the packet numbers have to do (`QueueCounters`).

use std::io;

/// One queue as the kernel sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Netlink port of whoever is bound to it.
    pub port: u32,
    /// Packets that wait for an answer.
    pub waiting: u32,
    /// Dropped because the queue was full. Not counted when failing open.
    pub queue_dropped: u32,
    /// Dropped because the socket was full. Not counted when failing open.
    pub user_dropped: u32,
    /// Number given to the latest packet: as many were queued, or not taken by the full socket.
    pub last_id: u32,
}

impl Losses {
    /// Of `queue` in the calling thread's network namespace; `None` if nobody is bound to it.
    /// Errors: no such file (no queue support), no permission.
    pub fn read(queue: u16) -> io::Result<Option<Losses>> {
        let text = std::fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue")?;
        Ok(find(&text, queue))
    }
}

/// Columns: number, port, waiting, copy mode, copy range, queue dropped, user dropped, last number, 1.
fn find(text: &str, queue: u16) -> Option<Losses> {
    text.lines().find_map(|line| {
        let mut columns = [0u32; 8];
        let mut words = line.split_ascii_whitespace();
        for column in &mut columns {
            *column = words.next()?.parse().ok()?;
        }
        (columns[0] == u32::from(queue)).then_some(Losses {
            port: columns[1],
            waiting: columns[2],
            queue_dropped: columns[5],
            user_dropped: columns[6],
            last_id: columns[7],
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "    0    811     0 2 65531     0     0        0  1\n \
                        4200   1207     3 2  1536    17     5    90210  1\n";

    #[test]
    fn a_queue_is_found_by_its_number() {
        let wanted = Losses {
            port: 1207,
            waiting: 3,
            queue_dropped: 17,
            user_dropped: 5,
            last_id: 90210,
        };

        assert_eq!(find(TEXT, 4200), Some(wanted));
        assert_eq!(find(TEXT, 42), None);
    }

    #[test]
    fn a_line_of_another_shape_is_passed_over() {
        assert_eq!(find("4200 x\n4200\n\n4200 1 2 3 4 5 6\n", 4200), None);
    }
}

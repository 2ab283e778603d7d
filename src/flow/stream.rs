//! First bytes of TCP streams, put in order: a pool of buffers lent to flows under detection. Which bytes
//! lie in a buffer already is told by smoltcp's `Assembler`.

use smoltcp::storage::Assembler;

/// Bytes of one buffer: a ClientHello with a post-quantum key share twice over, or a ServerHello with a
/// usual leaf certificate.
pub const STREAM_BYTES: usize = 4096;

/// In `Flow::streams`: this direction is not looked at any more.
pub const FINISHED: u16 = u16::MAX;

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// Kept, as far as it was new and fits.
    Clean,
    /// As `Clean`, but some bytes that were there already came with other values. The first ones stay.
    Ambiguous,
    /// Not kept: the stream has more holes than the assembler counts (32).
    TooManyHoles,
}

/// Buffers of [`STREAM_BYTES`], made once. They are known by number, from 1 (as `Flow::streams` keeps them);
/// a number is valid from [`lend`](StreamPool::lend) to [`give_back`](StreamPool::give_back).
pub struct StreamPool {
    bytes: Box<[[u8; STREAM_BYTES]]>,
    assemblers: Box<[Assembler]>,
    free: Box<[u16]>,
    free_count: usize,
}

impl StreamPool {
    /// Bytes of memory one buffer takes, its assembler included.
    pub const BYTES_EACH: usize = STREAM_BYTES + size_of::<Assembler>() + size_of::<u16>();

    /// A pool of `buffers`, at most 65534. The one place that allocates.
    pub fn new(buffers: usize) -> Self {
        let buffers = buffers.min(usize::from(FINISHED) - 1);
        StreamPool {
            bytes: vec![[0; STREAM_BYTES]; buffers].into_boxed_slice(),
            assemblers: vec![Assembler::new(); buffers].into_boxed_slice(),
            free: (1..=buffers as u16).rev().collect(),
            free_count: buffers,
        }
    }

    /// An empty buffer, if there is one.
    pub fn lend(&mut self) -> Option<u16> {
        self.free_count = self.free_count.checked_sub(1)?;
        let number = self.free[self.free_count];
        self.assemblers[usize::from(number) - 1].clear();
        Some(number)
    }

    /// Takes a buffer back. 0 and [`FINISHED`] are no buffers and pass unharmed.
    pub fn give_back(&mut self, number: u16) {
        if number == 0 || number == FINISHED {
            return;
        }
        assert!(
            self.free_count < self.free.len(),
            "a buffer came back twice"
        );
        self.free[self.free_count] = number;
        self.free_count += 1;
    }

    /// How many buffers are lent.
    pub fn lent(&self) -> usize {
        self.free.len() - self.free_count
    }

    /// Puts `data` at `offset` from the stream's first byte. Bytes beyond the buffer are left out; bytes
    /// that are there already stay.
    pub fn insert(&mut self, number: u16, offset: usize, data: &[u8]) -> Inserted {
        let index = usize::from(number) - 1;
        let room = STREAM_BYTES.saturating_sub(offset);
        let data = &data[..data.len().min(room)];
        if data.is_empty() {
            return Inserted::Clean;
        }
        let (bytes, assembler) = (&mut self.bytes[index], &mut self.assemblers[index]);
        let end = offset + data.len();
        let mut same = true;
        let mut at = offset;
        // The last range of none closes with the bytes behind all ranges.
        for (from, to) in assembler.iter_data().chain([(end, end)]) {
            if to <= at {
                continue;
            }
            let gap_end = from.clamp(at, end);
            bytes[at..gap_end].copy_from_slice(&data[at - offset..gap_end - offset]);
            let known_end = to.clamp(gap_end, end);
            same &= bytes[gap_end..known_end] == data[gap_end - offset..known_end - offset];
            at = known_end;
            if at == end {
                break;
            }
        }
        match assembler.add(offset, data.len()) {
            Ok(()) if same => Inserted::Clean,
            Ok(()) => Inserted::Ambiguous,
            Err(_) => Inserted::TooManyHoles,
        }
    }

    /// The bytes from the stream's first on, up to the first hole.
    pub fn prefix(&self, number: u16) -> &[u8] {
        let index = usize::from(number) - 1;
        &self.bytes[index][..self.assemblers[index].peek_front()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn segments_in_any_order_give_one_prefix() {
        let mut pool = StreamPool::new(1);
        let number = pool.lend().expect("one is free");

        pool.insert(number, 5, b"world");
        assert_eq!(pool.prefix(number), b"");
        pool.insert(number, 0, b"hell");
        assert_eq!(pool.prefix(number), b"hell");
        assert_eq!(pool.insert(number, 3, b"lowor"), Inserted::Clean);

        assert_eq!(pool.prefix(number), b"helloworld");
    }

    #[test]
    fn the_first_bytes_stay_and_other_ones_are_told() {
        let mut pool = StreamPool::new(1);
        let number = pool.lend().expect("one is free");

        pool.insert(number, 2, b"cd");
        let inserted = pool.insert(number, 0, b"abXdef");

        assert_eq!(inserted, Inserted::Ambiguous);
        assert_eq!(pool.prefix(number), b"abcdef");
    }

    #[test]
    fn an_empty_pool_lends_nothing_until_one_comes_back() {
        let mut pool = StreamPool::new(2);
        let first = pool.lend().expect("two are free");
        pool.insert(first, 0, b"old");
        pool.lend().expect("one is free");

        assert_eq!(pool.lend(), None);
        pool.give_back(first);
        pool.give_back(0);
        pool.give_back(FINISHED);

        assert_eq!(pool.lent(), 1);
        assert_eq!(pool.lend(), Some(first));
        assert_eq!(pool.prefix(first), b"", "a lent buffer is empty");
    }

    #[test]
    fn what_lies_beyond_the_buffer_is_left_out() {
        let mut pool = StreamPool::new(1);
        let number = pool.lend().expect("one is free");

        assert_eq!(pool.insert(number, STREAM_BYTES, b"x"), Inserted::Clean);
        assert_eq!(pool.insert(number, usize::MAX, b"x"), Inserted::Clean);
        pool.insert(number, 0, &[7; STREAM_BYTES + 100]);

        assert_eq!(pool.prefix(number).len(), STREAM_BYTES);
    }

    #[test]
    fn more_holes_than_are_counted_are_refused() {
        let mut pool = StreamPool::new(1);
        let number = pool.lend().expect("one is free");

        let outcomes: Vec<_> = (1..=33).map(|n| pool.insert(number, n * 2, b"x")).collect();

        assert_eq!(outcomes[31], Inserted::Clean);
        assert_eq!(outcomes[32], Inserted::TooManyHoles);
    }

    proptest! {
        /// Against a plain map of bytes.
        #[test]
        fn a_buffer_holds_what_came_first(segments in proptest::collection::vec((0usize..80, proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let mut pool = StreamPool::new(1);
            let number = pool.lend().expect("one is free");
            let mut model = [None; 200];

            for (offset, data) in &segments {
                let clean = data.iter().enumerate().all(|(i, byte)| model[offset + i].is_none_or(|had| had == *byte));
                let inserted = pool.insert(number, *offset, data);
                prop_assert_eq!(inserted, if clean { Inserted::Clean } else { Inserted::Ambiguous });
                for (i, byte) in data.iter().enumerate() {
                    model[offset + i].get_or_insert(*byte);
                }
            }

            let expected: Vec<u8> = model.iter().map_while(|byte| *byte).collect();
            prop_assert_eq!(pool.prefix(number), &expected[..]);
        }
    }
}

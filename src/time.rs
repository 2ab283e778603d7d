//! Time as the engine sees it: always an argument, never asked for. Only the queue, the worker and the
//! capture reader read a clock.

pub mod date;

use std::ops::Add;

/// Microseconds. As a point in time: on the clock its field or argument names (see [`Now`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

impl Micros {
    /// `n` milliseconds.
    pub const fn from_millis(n: u64) -> Self {
        Micros(n * 1_000)
    }

    /// `n` seconds.
    pub const fn from_secs(n: u64) -> Self {
        Micros(n * 1_000_000)
    }

    /// Whole seconds.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long ago `earlier` was; zero if it was not.
    pub const fn since(self, earlier: Micros) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Micros {
    type Output = Micros;
    fn add(self, other: Micros) -> Micros {
        Micros(self.0.saturating_add(other.0))
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The clock flows live by: never goes back. Live: since boot; replay: the capture's time stamps.
    pub mono: Micros,
    /// Wall clock since 1970-01-01 UTC; may jump. Only for showing and for scripts' `now`.
    pub wall: Micros,
}

impl Now {
    /// Both clocks at `at`, as replay has it.
    pub const fn at(at: Micros) -> Self {
        Now { mono: at, wall: at }
    }

    /// Wall clock reading that belongs to `mono`, a point in the engine's own time.
    pub const fn wall_of(&self, mono: Micros) -> Micros {
        Micros(
            self.wall
                .0
                .saturating_sub(self.mono.0.saturating_sub(mono.0)),
        )
    }
}

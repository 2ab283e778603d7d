//! A wall clock reading as a date: UTC, Gregorian, no time zones, no leap seconds.

use super::Micros;

/// Parts of a date and time of day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct Date {
    pub year: u64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
}

/// Days in 400 years, after which the calendar repeats itself.
const CYCLE: u64 = 146_097;
/// From 1 March of the year 0, where a cycle begins, to 1 January 1970.
const BEFORE_1970: u64 = 719_468;

impl Date {
    /// The date of `wall`, which counts from 1970-01-01 UTC.
    pub const fn of(wall: Micros) -> Date {
        let secs = wall.as_secs();
        // Years that begin in March have the leap day at their end, so only the year's length varies.
        let days = secs / 86_400 + BEFORE_1970;
        let (cycle, day) = (days / CYCLE, days % CYCLE);
        let year = (day - day / 1_460 + day / 36_524 - day / (CYCLE - 1)) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * day + 2) / 153; // five months from March or August have 153 days
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Date {
            year: cycle * 400 + year + (month <= 2) as u64,
            month: month as u8,
            day: (day - (153 * from_march + 2) / 5 + 1) as u8,
            hour: (secs / 3_600 % 24) as u8,
            minute: (secs / 60 % 60) as u8,
            second: (secs % 60) as u8,
            micros: (wall.0 % 1_000_000) as u32,
        }
    }

    /// Three letters, English.
    pub fn month_name(&self) -> &'static str {
        const NAMES: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        NAMES[usize::from(self.month - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(secs: u64) -> (u64, u8, u8) {
        let date = Date::of(Micros::from_secs(secs));
        (date.year, date.month, date.day)
    }

    #[test]
    fn known_days_come_out() {
        for (secs, expected) in [
            (0, (1970, 1, 1)),
            (951_782_400, (2000, 2, 29)),
            (951_868_800, (2000, 3, 1)),
            (1_709_164_800, (2024, 2, 29)),
            (1_767_225_599, (2025, 12, 31)),
            (1_767_225_600, (2026, 1, 1)),
            (4_107_542_400, (2100, 3, 1)),
        ] {
            assert_eq!(day(secs), expected, "{secs}");
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = day(0);
        for n in 1..200_000 {
            let next = day(n * 86_400);
            let follows = (next.0, next.1, next.2) == (last.0, last.1, last.2 + 1)
                || (next.2 == 1
                    && last.2 >= 28
                    && (next.1 == last.1 + 1
                        || (next.1 == 1 && last.1 == 12 && next.0 == last.0 + 1)));
            assert!(follows, "{last:?} then {next:?}");
            last = next;
        }
    }

    #[test]
    fn the_end_of_all_clocks_is_a_date_too() {
        let date = Date::of(Micros(u64::MAX));

        assert_eq!((date.year, date.micros), (586_524, 551_615));
        assert!(!date.month_name().is_empty());
    }
}

//! Windows against the definition itself: a clock on the wall, read moment by moment.

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

/// Clocks that change at night and at midnight, by an hour, half of one and two, twice a year, four times and never.
const ZONES: [&str; 11] = [
    "Europe/Paris",
    "Europe/London",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
];

fn windows(zone: &str, written: &[&str]) -> Windows {
    let written = written.iter().map(|window| window.parse().unwrap()).collect();
    Windows::new(TimeZone::get(zone).unwrap(), written)
}

/// Whether the wall's clock shows a time within a window.
fn is_open(windows: &Windows, at: Timestamp) -> bool {
    let wall = at.to_zoned(windows.zone().clone());
    let minute = u32::try_from(i32::from(wall.hour()) * 60 + i32::from(wall.minute())).unwrap();
    let today = usize::try_from(wall.weekday().to_monday_zero_offset()).unwrap();
    windows.written().iter().any(|window| {
        let begun = |day: usize, minute: u32| window.days[day % 7] && (window.from..window.to).contains(&minute);
        begun(today, minute) || begun(today + 6, minute + DAY)
    })
}

/// Steps through a stretch of time and holds every answer against the clock.
fn hold_against_the_wall(windows: &Windows, from: Timestamp, to: Timestamp, step: i64) {
    let mut at = from;
    let mut next: Option<Span> = None;
    while at < to {
        let found = windows.at_or_after(at).unwrap_or_else(|| panic!("{windows}: none after {at}"));
        assert_eq!(found.contains(at), is_open(windows, at), "{windows} at {at}: {found:?}");
        assert!(is_open(windows, found.start), "{windows} at {at}: {found:?} begins too early");
        assert!(!is_open(windows, found.end), "{windows} at {at}: {found:?} ends too early");
        let (second, nanosecond) = (SignedDuration::from_secs(1), SignedDuration::from_nanos(1));
        assert!(!is_open(windows, found.start - second) || found.start - second < at, "{windows}: {found:?}");
        assert!(is_open(windows, found.end - nanosecond), "{windows} at {at}: {found:?} ends too late");
        // What was promised as the next opening must come, and nothing before it.
        if let Some(promised) = next.filter(|next| at < next.end) {
            assert_eq!(is_open(windows, at), at >= promised.start, "{windows}: {promised} was promised, it is {at}");
        }
        next = Some(found);
        at += SignedDuration::from_secs(step);
    }
}

#[test]
fn windows_are_read_and_written() {
    for (text, shown) in [
        ("Sat,Sun 01:00-05:00", "Sat,Sun 01:00-05:00"),
        ("fri-mon 22:00-04:00", "Mon,Fri,Sat,Sun 22:00-04:00"),
        (" 00:00-24:00 ", "00:00-24:00"),
        ("Mon-Sun 01:00-05:00", "01:00-05:00"),
    ] {
        assert_eq!(text.parse::<Window>().unwrap().to_string(), shown);
    }
    for text in [
        "",
        "Sat",
        "Sat 1:00-05:00",
        "Sat 01:00",
        "Caturday 01:00-02:00",
        "01:00-01:00",
        "24:00-01:00",
        "01:00-24:01",
        "a b 01:00-02:00",
    ] {
        assert!(text.parse::<Window>().is_err(), "{text:?}");
    }
}

/// What leaves no time out is no restriction, however it is written.
#[test]
fn a_whole_week_is_any_time() {
    for whole in
        [&["00:00-24:00"][..], &["12:00-06:00", "06:00-12:00"], &["Mon-Fri 00:00-24:00", "Sat,Sun 00:00-24:00"]]
    {
        assert!(!windows("Europe/Paris", whole).restrict(), "{whole:?}");
    }
    assert!(windows("Europe/Paris", &["00:00-23:59"]).restrict());
}

/// Days of 23 and of 25 hours, by hand.
#[test]
fn a_night_when_clocks_change_is_longer_or_shorter() {
    let night = windows("Europe/Paris", &["Sat 22:00-05:00"]);
    let span = |at: &str| night.at_or_after(at.parse().unwrap()).unwrap().to_string();
    assert_eq!(span("2026-03-28T12:00:00Z"), "2026-03-28T21:00Z to 2026-03-29T03:00Z");
    assert_eq!(span("2026-10-24T12:00:00Z"), "2026-10-24T20:00Z to 2026-10-25T04:00Z");
    let skipped = windows("Europe/Paris", &["Sun 02:00-03:00"]);
    let next = skipped.at_or_after("2026-03-28T12:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(next.to_string(), "2026-04-05T00:00Z to 01:00Z");
}

/// Every change of clocks from 2024 to 2030 in ten zones that have any.
#[test]
fn every_change_of_clocks_is_right() {
    let mut changes = 0;
    for zone in ZONES {
        let zone_info = TimeZone::get(zone).unwrap();
        let (from, to) = (date(2024, 1, 1), date(2031, 1, 1));
        let [from, to] = [from, to].map(|day| day.to_zoned(TimeZone::UTC).unwrap().timestamp());
        let sets = [
            windows(zone, &["01:30-03:10", "23:30-00:40"]),
            windows(zone, &["Sat,Sun 02:00-02:50", "Sun-Mon 22:00-02:30"]),
        ];
        for change in zone_info.following(from).map(|change| change.timestamp()).take_while(|at| *at < to) {
            changes += 1;
            for windows in &sets {
                let day = SignedDuration::from_hours(30);
                hold_against_the_wall(windows, change - day, change + day, 1_500);
            }
        }
    }
    assert!(changes > 100, "{changes}");
}

/// Every day of a leap year.
#[test]
fn every_day_of_a_leap_year_is_right() {
    let [from, to] = [date(2028, 1, 1), date(2029, 1, 1)].map(|day| day.to_zoned(TimeZone::UTC).unwrap().timestamp());
    hold_against_the_wall(&windows("Europe/Paris", &["Sat,Sun 01:00-05:00", "Wed 23:00-01:00"]), from, to, 5_400);
}

pub(in crate::policy) fn any_windows() -> impl Strategy<Value = Windows> {
    let window = (prop::array::uniform7(prop::bool::weighted(0.4)), 0..DAY, 5..=DAY)
        .prop_filter_map("a window has a day", |(days, from, length)| {
            days.contains(&true).then_some(Window { days, from, to: from + length })
        });
    (prop::sample::select(&ZONES[..]), prop::collection::vec(window, 1..4))
        .prop_map(|(zone, windows)| Windows::new(TimeZone::get(zone).unwrap(), windows))
}

/// A moment from 2024 to 2030.
pub(in crate::policy) fn any_moment() -> impl Strategy<Value = Timestamp> {
    (1_704_067_200..1_924_991_999_i64).prop_map(|second| Timestamp::from_second(second).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the windows, the zone and the moment.
    #[test]
    fn any_windows_at_any_time_are_right(windows in any_windows(), from in any_moment()) {
        prop_assume!(windows.restrict());
        hold_against_the_wall(&windows, from, from + SignedDuration::from_hours(200), 3_599);
    }
}

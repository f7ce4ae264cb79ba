//! `rekeyd plan --calendar`: months as grids with the number of rotations on each day, so that a person sees the load.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::super::output::{BOLD, DIM, Output, WARN, styled};
use super::horizon::{Slot, count};
use crate::domain::{Moment, Span};
use crate::policy::name_of;

/// A blank, a day's number, whether a freeze touches it, and its count.
const DAY: usize = 8;
/// Seven days.
const MONTH: usize = 7 * DAY;
/// Between two months that stand side by side.
const GAP: usize = 4;

/// The slots of `shown`, by the days of the zone; `frozen` is when freezes hold the targets that they are of.
pub(super) fn show(
    slots: &[Slot],
    shown: Span,
    frozen: Vec<Span>,
    zone: &TimeZone,
    output: &mut Output,
) -> std::io::Result<()> {
    let day = |at: Timestamp| at.to_zoned(zone.clone()).date();
    let mut load: BTreeMap<Date, usize> = BTreeMap::new();
    for slot in slots {
        *load.entry(day(slot.occasion.at)).or_default() += 1;
    }
    let grid = Grid { load, first: day(shown.start), last: day(shown.end), zone, frozen };
    let months: Vec<Vec<String>> = grid.months().map(|month| grid.month(month)).collect();
    let abreast = if output.width().is_some_and(|width| width >= 2 * MONTH + GAP) { 2 } else { 1 };
    for row in months.chunks(abreast) {
        for line in 0..row.iter().map(Vec::len).max().unwrap_or_default() {
            let cells = row.iter().map(|month| month.get(line).cloned().unwrap_or_else(|| " ".repeat(MONTH)));
            output.line(cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end())?;
        }
        output.line("")?;
    }
    let busiest = grid.load.iter().max_by_key(|(day, count)| (**count, std::cmp::Reverse(**day)));
    if let Some((day, most)) = busiest {
        output.line(format_args!("{}; most on {day}: {most}.", count(slots.len(), "rotation")))?;
    } else {
        output.line("No rotations in that time.")?;
    }
    if !grid.frozen.is_empty() {
        output.line(format_args!("{} a freeze holds targets on that day", styled(WARN, "~")))?;
    }
    output.line(styled(DIM, format!("Days are those of {}.", name_of(zone))))
}

struct Grid<'a> {
    load: BTreeMap<Date, usize>,
    first: Date,
    last: Date,
    zone: &'a TimeZone,
    frozen: Vec<Span>,
}

impl Grid<'_> {
    fn months(&self) -> impl Iterator<Item = Date> {
        let last = self.last;
        std::iter::successors(Some(self.first.first_of_month()), |month| month.checked_add(1.month()).ok())
            .take_while(move |month| *month <= last)
    }

    /// A heading, the days' names, and a line for each week, all of one width.
    fn month(&self, month: Date) -> Vec<String> {
        let days = || (0..i64::from(month.days_in_month())).filter_map(|day| month.checked_add(day.days()).ok());
        let sum: usize = days().filter_map(|day| self.load.get(&day)).sum();
        let title = month.strftime("%B %Y").to_string();
        let sum = if sum == 0 { String::new() } else { sum.to_string() };
        let space = " ".repeat(MONTH - title.len() - sum.len());
        let mut lines = vec![format!("{}{space}{}", styled(BOLD, title), styled(BOLD, sum))];
        let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        lines.push(styled(DIM, names.map(|name| format!(" {name:<width$}", width = DAY - 1)).concat()));
        let mut line = " ".repeat(usize::try_from(month.weekday().to_monday_zero_offset()).unwrap_or_default() * (DAY));
        let mut filled = line.len();
        for day in days() {
            line.push_str(&self.day(day));
            filled += DAY;
            if filled == MONTH {
                lines.push(std::mem::take(&mut line));
                filled = 0;
            }
        }
        if filled > 0 {
            lines.push(line + &" ".repeat(MONTH - filled));
        }
        lines
    }

    fn day(&self, day: Date) -> String {
        let number = format!("{:>2}", day.day());
        let mark = if self.is_frozen(day) { styled(WARN, "~") } else { " ".to_owned() };
        let room = DAY - 4;
        match self.load.get(&day) {
            _ if day < self.first || day > self.last => {
                format!(" {}{:width$}", styled(DIM, number), "", width = room + 1)
            }
            Some(count) => format!(" {}{mark}{}", styled(DIM, number), styled(BOLD, format!("{count:<room$}"))),
            None => format!(" {}{mark}{}", styled(DIM, number), styled(DIM, format!("{:<room$}", "·"))),
        }
    }

    fn is_frozen(&self, day: Date) -> bool {
        let day = Moment::On(day);
        let (start, end) = (day.start(self.zone), day.end(self.zone));
        self.frozen.iter().any(|span| span.start < end && span.end > start)
    }
}

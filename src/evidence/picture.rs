//! The timeline of a report: a row for each cluster, what its days were, and when a key of one of its members came. SVG.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::Timestamp;

use super::cover::Class;
use super::gather::Evidence;
use crate::domain::KeyOrigin;

/// So many clusters have a row: with them the report still is one page.
const ROWS: usize = 24;
/// How much of the picture's width is for names.
const LABELS: usize = 250;
/// How wide the picture is.
const WIDTH: usize = 1000;
/// How high a row is.
const ROW: usize = 18;
/// How much stands above the rows.
const TOP: usize = 22;

/// One cluster over the period.
pub(super) struct ClusterRow {
    name: String,
    /// Its replica sets by name: one that was made anew is the same member.
    members: BTreeSet<String>,
    /// The worst of its members, day by day.
    days: Vec<Class>,
    /// When a key came to one of them, and by whom: `came` or `strange`.
    came: Vec<(Timestamp, &'static str)>,
}

/// Every cluster that was there in the period, those with the most to explain first.
pub(super) fn clusters(evidence: &Evidence) -> Vec<ClusterRow> {
    let mut rows: BTreeMap<String, ClusterRow> = BTreeMap::new();
    for story in &evidence.targets {
        let target = &story.record.target;
        if story.days.iter().all(|day| *day == Class::NotThere) {
            continue;
        }
        let name = format!("{}/{}/{}", target.manager, target.project, target.cluster);
        let blank = || ClusterRow {
            name: name.clone(),
            members: BTreeSet::new(),
            days: vec![Class::NotThere; evidence.span.days()],
            came: Vec::new(),
        };
        let row = rows.entry(name.clone()).or_insert_with(blank);
        row.members.insert(target.replica_set.clone());
        for (worst, day) in row.days.iter_mut().zip(&story.days) {
            *worst = (*worst).max(*day);
        }
        let came = evidence.keys.get(&target.id()).into_iter().flatten();
        row.came.extend(came.map(|(at, came)| (*at, mark(*came))));
    }
    let mut rows: Vec<ClusterRow> = rows.into_values().collect();
    rows.sort_by_key(|row| {
        let bad = |class| row.days.iter().filter(|day| **day == class).count();
        let (overrun, unknown) = (bad(Class::Overrun), bad(Class::Unread) + bad(Class::Unproved));
        (std::cmp::Reverse((overrun, unknown, bad(Class::LeftOut))), row.name.clone())
    });
    rows
}

/// The picture, and how many clusters it has no room for.
pub(super) fn picture(evidence: &Evidence, rows: &[ClusterRow]) -> (String, usize) {
    let shown = rows.len().min(ROWS);
    let (days, height) = (evidence.span.days().max(1), TOP + shown * ROW + 4);
    let x = |day: f64| LABELS as f64 + (WIDTH - LABELS) as f64 * day / days as f64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Keys of each cluster over the period\" xmlns=\"http://www.w3.org/2000/svg\">\n"
    );
    let mut draw = |part: std::fmt::Arguments<'_>| writeln!(svg, "{part}").expect("a string takes everything");
    // The first of each month, or each day of a short period.
    let ticks = (0..days).filter(|number| days <= 31 || evidence.span.day(*number).day() == 1);
    let every = if days > 800 {
        12
    } else if days <= 31 {
        5
    } else {
        1
    };
    for (place, number) in ticks.enumerate() {
        let (at, date) = (x(number as f64), evidence.span.day(number));
        draw(format_args!("<line class=\"tick\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{height}\"/>"));
        if place % every == 0 {
            let format = if days <= 31 { "%m-%d" } else { "%Y-%m" };
            draw(format_args!("<text class=\"date\" x=\"{at:.1}\" y=\"14\">{}</text>", date.strftime(format)));
        }
    }
    for (place, row) in rows.iter().take(shown).enumerate() {
        let y = TOP + place * ROW;
        let name = escaped(&shortened(&row.name));
        let members = if row.members.len() == 1 { String::new() } else { format!(" ({})", row.members.len()) };
        draw(format_args!("<text class=\"name\" x=\"{}\" y=\"{}\">{name}{members}</text>", LABELS - 8, y + 12));
        let mut first = 0;
        for run in row.days.chunk_by(|one, other| one == other) {
            let class = run.first().map_or("", |class| class.word());
            let (from, to) = (x(first as f64), x((first + run.len()) as f64));
            let (one, other) = (evidence.span.day(first), evidence.span.day(first + run.len() - 1));
            draw(format_args!(
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"><title>{}: {class}, {one} to {other}</title></rect>",
                y + 2,
                to - from,
                ROW - 6,
                escaped(&row.name),
            ));
            first += run.len();
        }
        for (at, class) in &row.came {
            let at = x(at.duration_since(evidence.span.start()).as_secs_f64() / 86_400.0);
            draw(format_args!(
                "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{}\"/>",
                y,
                y + ROW - 2
            ));
        }
    }
    svg.push_str("</svg>");
    (svg, rows.len() - shown)
}

/// Whether a key came by a rotation, or as nobody here meant it.
const fn mark(came: KeyOrigin) -> &'static str {
    match came {
        KeyOrigin::FirstSeen | KeyOrigin::Rotated | KeyOrigin::FoundChanged | KeyOrigin::Recovered => "came",
        KeyOrigin::Foreign | KeyOrigin::Regression => "strange",
    }
}

/// The end of a long name: its beginning is what it has in common with the others.
fn shortened(name: &str) -> String {
    const ROOM: usize = 36;
    let count = name.chars().count();
    if count <= ROOM {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(count - ROOM + 1).collect::<String>())
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

//! Tables for people: as many columns as the terminal has room for, and never a value cut in two.

use anstream::adapter::strip_str;
use unicode_width::UnicodeWidthStr;

use super::output::{BOLD, DIM, styled};

/// Between columns.
const GAP: usize = 2;
/// With less room than this the last column stands on lines of its own.
const ROOM_FOR_WORDS: usize = 24;
/// How far lines that continue a row are indented.
const INDENT: usize = 4;

/// The lines of a table, the last column being free text. `width` is that of the terminal; none where there is none, and
/// then every row is one line.
///
/// What does not fit is not squeezed: the free text moves below its row, and if even that does not help, each row becomes a
/// paragraph, its first column a heading.
pub(super) fn lines<const N: usize>(titles: [&str; N], rows: &[[String; N]], width: Option<usize>) -> Vec<String> {
    let Some((words_title, titles)) = titles.split_last().filter(|_| !rows.is_empty()) else { return Vec::new() };
    let rows: Vec<(&String, &[String])> = rows.iter().filter_map(|row| row.split_last()).collect();
    let mut widths: Vec<usize> = titles.iter().map(|title| shown_width(title)).collect();
    for (_, cells) in &rows {
        for (width, cell) in widths.iter_mut().zip(*cells) {
            *width = (*width).max(shown_width(cell));
        }
    }
    let columns: usize = widths.iter().map(|width| width + GAP).sum();
    let room = width.map(|width| width.saturating_sub(columns));
    let mut lines = Vec::new();
    match (width, room) {
        (Some(width), _) if columns > width + GAP => {
            for (words, cells) in rows {
                paragraph(titles, cells, words, width, &mut lines);
            }
        }
        (Some(width), Some(room)) if room < ROOM_FOR_WORDS.max(shown_width(words_title)) => {
            lines.push(aligned(titles.iter().map(|title| styled(BOLD, title)), &widths));
            for (words, cells) in rows {
                lines.push(aligned(cells.iter().cloned(), &widths));
                lines.extend(indented(words, width));
            }
        }
        (_, room) => {
            let titles = titles.iter().map(|title| styled(BOLD, title));
            lines.push(aligned(titles, &widths) + &" ".repeat(GAP) + &styled(BOLD, words_title));
            for (words, cells) in rows {
                let mut words = wrapped(words, room.unwrap_or(usize::MAX)).into_iter();
                let first = words.next().unwrap_or_default();
                lines.push(aligned(cells.iter().cloned(), &widths) + &" ".repeat(GAP) + &first);
                lines.extend(words.map(|line| " ".repeat(columns) + &line));
            }
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

/// One row on lines of its own: its first column, then the others with their titles, then the words.
fn paragraph(titles: &[&str], cells: &[String], words: &str, width: usize, lines: &mut Vec<String>) {
    let mut cells = titles.iter().zip(cells);
    lines.extend(cells.next().map(|(_, name)| styled(BOLD, name)));
    let mut line = String::new();
    for (title, cell) in cells {
        let cell = format!("{} {cell}", styled(DIM, title.to_lowercase()));
        if !line.is_empty() && INDENT + shown_width(&line) + GAP + shown_width(&cell) > width {
            lines.push(" ".repeat(INDENT) + &std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push_str(&" ".repeat(GAP));
        }
        line.push_str(&cell);
    }
    lines.push(" ".repeat(INDENT) + &line);
    lines.extend(indented(words, width));
}

fn aligned(cells: impl Iterator<Item = String>, widths: &[usize]) -> String {
    let cells: Vec<String> =
        cells.zip(widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - shown_width(&cell)))).collect();
    cells.join(&" ".repeat(GAP))
}

fn indented(words: &str, width: usize) -> impl Iterator<Item = String> {
    wrapped(words, width.saturating_sub(INDENT)).into_iter().map(|line| " ".repeat(INDENT) + &line)
}

/// `text` broken between words; a word that is longer than a line keeps its line to itself.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if shown_width(line).saturating_add(1 + shown_width(word)) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// How many columns of a terminal the text takes, colours aside.
fn shown_width(text: &str) -> usize {
    strip_str(text).map(UnicodeWidthStr::width).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLES: [&str; 3] = ["TARGET", "STATE", "WHY"];

    fn rows() -> Vec<[String; 3]> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        vec![row(["emea/billing/ledger", "due", "since yesterday"]), row(["emea/a", "\u{1b}[31mwaiting\u{1b}[0m", ""])]
    }

    fn shown(width: Option<usize>) -> Vec<String> {
        lines(TITLES, &rows(), width).iter().map(|line| strip_str(line).to_string()).collect()
    }

    /// For pipes: a row is a line, however long, and colours shift nothing.
    #[test]
    fn without_a_terminal_each_row_is_one_line() {
        let expected = [
            "TARGET               STATE    WHY",
            "emea/billing/ledger  due      since yesterday",
            "emea/a               waiting",
        ];
        assert_eq!(shown(None), expected);
        assert_eq!(shown(Some(80)), expected);
    }

    #[test]
    fn what_does_not_fit_moves_down_and_no_value_is_cut() {
        let below = [
            "TARGET               STATE",
            "emea/billing/ledger  due",
            "    since yesterday",
            "emea/a               waiting",
        ];
        assert_eq!(shown(Some(40)), below);
        let paragraphs =
            ["emea/billing/ledger", "    state due", "    since", "    yesterday", "emea/a", "    state waiting"];
        assert_eq!(shown(Some(18)), paragraphs);
    }
}

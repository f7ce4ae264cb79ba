//! Output for people and for machines. The only file that writes to the terminal.

use std::fmt::Display;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::table;

/// Standard output with colours where they can be shown, standard error for complaints.
pub(super) struct Output {
    out: anstream::AutoStream<io::Stdout>,
}

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

impl Output {
    pub(super) fn new() -> Self {
        Self { out: anstream::AutoStream::auto(io::stdout()) }
    }

    /// One line.
    pub(super) fn line(&mut self, line: impl Display) -> io::Result<()> {
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// One object on a line of its own.
    pub(super) fn json(&mut self, value: &serde_json::Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }

    /// How many columns the terminal has; none where there is none, or one that does not tell.
    pub(super) fn width(&self) -> Option<usize> {
        width_of_terminal()
    }

    /// Bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// A table with a heading, fitted to the terminal. The last column is free text.
    pub(super) fn table<const N: usize>(&mut self, heading: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
        for line in table::lines(heading, rows, width_of_terminal()) {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    /// A bar for long work, on standard error, if that is a terminal; it appears when the work takes its time.
    pub(super) fn progress(&self, unit: &str) -> ProgressBar {
        let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {human_pos} {msg}, {eta} left")
            .expect("the template is well-formed");
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
            .with_style(style)
            .with_message(unit.to_owned())
    }

    /// What failed, why, and what to do next.
    pub(super) fn complain(&mut self, words: &str) {
        self.complain_as_is(&format!("{BAD}error:{BAD:#} {words}"));
    }

    /// What was done, and may not be what was meant.
    pub(super) fn warn(&mut self, words: &str) {
        self.complain_as_is(&format!("{WARN}warning:{WARN:#} {words}"));
    }

    pub(super) fn complain_as_is(&mut self, words: &str) {
        // There is nobody left to tell if this fails.
        let _ = writeln!(anstream::AutoStream::auto(io::stderr()), "{}", words.trim_end());
    }

    pub(super) fn complains_in_colour(&self) -> bool {
        anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
    }
}

/// None where standard output is no terminal, or one that does not tell.
fn width_of_terminal() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// `text` in a style.
pub(super) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A moment to the second, in UTC; a dash for none.
pub(super) fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"))
}

/// A moment to the minute, in UTC, for columns that are narrow; a dash for none.
pub(super) fn minute(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%MZ").to_string())
}

/// How long ago, roughly, as a person would say it: `12 d`, `3 h`, `40 s`.
pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

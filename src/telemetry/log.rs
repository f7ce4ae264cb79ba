//! How log lines look and where they go: to standard error, one line an event.

use std::io::{self, IsTerminal, Write};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: the message, then its values. Coloured on a terminal, unless `NO_COLOR` is set.
    Text,
    /// For machines: one JSON object.
    Json,
}

impl LogFormat {
    /// Text on a terminal, JSON elsewhere.
    pub fn fitting_stderr() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Sends what this process logs at `level` or louder to standard error; of the libraries only warnings.
///
/// `journald` says that standard error is the journal: each line then begins with its priority in the form of
/// sd-daemon(3), and text leaves the time and the colours out. Later calls do nothing.
pub fn init(format: LogFormat, journald: bool, level: Level) {
    let colours = !journald && io::stderr().is_terminal();
    // A subscriber that is there already was put there by a test.
    let _ = subscriber(format, journald, colours, level, io::stderr).try_init();
}

fn subscriber<W, S>(format: LogFormat, journald: bool, colours: bool, level: Level, sink: W) -> impl Subscriber
where
    W: Fn() -> S + Send + Sync + 'static,
    S: Write,
{
    let lines = Lines { journald, colours, sink };
    // What people call a target is a field of that name; the module path would stand beside it under the same name.
    let layer = fmt::layer().with_target(false).with_writer(lines);
    // Asked for only where it must be off: left alone, the layer honours NO_COLOR.
    let layer = if colours { layer } else { layer.with_ansi(false) };
    let layer = match format {
        LogFormat::Text if journald => layer.without_time().boxed(),
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let level = LevelFilter::from_level(level);
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("rekeyd", level);
    tracing_subscriber::registry().with(layer.with_filter(filter))
}

/// Makes a writer for each event.
struct Lines<W> {
    journald: bool,
    colours: bool,
    sink: W,
}

/// Takes one event, in one piece, and keeps it on one line.
struct Line<S> {
    priority: Option<u8>,
    /// Whether escape characters are the layer's own.
    colours: bool,
    sink: S,
}

impl<'a, W, S> MakeWriter<'a> for Lines<W>
where
    W: Fn() -> S,
    S: Write,
{
    type Writer = Line<S>;

    fn make_writer(&'a self) -> Line<S> {
        Line { priority: None, colours: self.colours, sink: (self.sink)() }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<S> {
        let priority = self.journald.then_some(match *meta.level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        });
        Line { priority, colours: self.colours, sink: (self.sink)() }
    }
}

impl<S: Write> Write for Line<S> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut line = Vec::with_capacity(event.len() + 4);
        if let Some(priority) = self.priority {
            write!(line, "<{priority}>")?;
        }
        // A line break within an event would begin a line that nobody wrote.
        let is_strange = |byte: &u8| byte.is_ascii_control() && !(*byte == 0x1b && self.colours);
        for part in event.strip_suffix(b"\n").unwrap_or(event).split_inclusive(is_strange) {
            match part.split_last() {
                Some((byte, plain)) if is_strange(byte) => {
                    line.extend_from_slice(plain);
                    line.extend(byte.escape_ascii());
                }
                Some(_) | None => line.extend_from_slice(part),
            }
        }
        line.push(b'\n');
        self.sink.write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `work` logs, line by line.
    pub(in crate::telemetry) fn logged(format: LogFormat, journald: bool, work: impl FnOnce()) -> Vec<String> {
        let sink = Sink::default();
        let to = sink.clone();
        let subscriber = subscriber(format, journald, false, Level::INFO, move || to.clone());
        tracing::subscriber::with_default(subscriber, work);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    /// The journal sorts by these; without them everything is "info".
    #[test]
    fn the_journal_is_told_how_loud_a_line_is() {
        let lines = logged(LogFormat::Text, true, || {
            tracing::error!("a");
            tracing::warn!(target = "emea/p/c/rs", "b");
            tracing::info!("c");
            tracing::debug!("not at this level");
        });
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("<3>") && lines[0].ends_with("ERROR a"), "{lines:?}");
        assert!(lines[1].starts_with("<4>") && lines[1].ends_with("WARN b target=\"emea/p/c/rs\""), "{lines:?}");
        assert!(lines[2].starts_with("<6>"), "{lines:?}");
    }

    /// What a server said cannot forge a line of its own, not in the message and not in a value.
    #[test]
    fn one_event_is_one_line() {
        let detail = "first\r\n<0>second\u{1b}[31m";
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = logged(format, false, || tracing::info!(detail, shown = %detail, "it said {detail}"));
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
        }
    }

    #[test]
    fn json_has_the_values_beside_the_message() {
        let lines = logged(LogFormat::Json, false, || tracing::warn!(target = "emea/p/c/rs", status = 429, "late"));
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "late");
        assert_eq!(line["target"], "emea/p/c/rs");
        assert_eq!(line["status"], 429);
    }
}

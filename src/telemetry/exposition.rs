//! Gauges that are computed at each scrape, and the text in which all series leave.
//!
//! The format is that of <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::fmt::{Display, Write};

use prometheus::TextEncoder;

use super::{Metrics, process};

/// One gauge with the value of each of its label sets, made anew for each scrape: what is not pushed is not there.
///
/// It is text from the start. Tens of thousands of series as the crate's own objects cost more than their text.
#[derive(Debug)]
pub struct Gauges {
    name: String,
    text: String,
    empty: bool,
}

impl Gauges {
    /// A gauge without values. `name` comes without the prefix and ends in its unit; `help` is one line without `\\`.
    pub fn new(name: &str, help: &str) -> Self {
        let name = format!("{}_{name}", Metrics::PREFIX);
        let text = format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        Self { name, text, empty: true }
    }

    /// Adds one series, with a number as its value. The caller keeps label sets apart: a label set that comes twice breaks the scrape.
    pub fn push(&mut self, labels: &Labels, value: impl Display) {
        self.empty = false;
        self.text.push_str(&self.name);
        self.text.push_str(&labels.text);
        writeln!(self.text, " {value}").expect("a string takes every text");
    }
}

/// The labels of a series as they stand in the text: put together once for all series that carry them.
#[derive(Debug, Default)]
pub struct Labels {
    text: String,
}

impl Labels {
    /// These labels, by name and value.
    pub fn of(labels: &[(&str, &str)]) -> Self {
        let mut text = String::with_capacity(128);
        let mut before = '{';
        for (name, value) in labels {
            text.push(before);
            text.push_str(name);
            text.push_str("=\"");
            push_escaped(&mut text, value);
            text.push('"');
            before = ',';
        }
        text.push('}');
        Self { text }
    }
}

/// A label's value between its quotes.
fn push_escaped(text: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        let (plain, special) = rest.split_at(at);
        text.push_str(plain);
        text.push('\\');
        text.push(if special.starts_with('\n') { 'n' } else { special.chars().next().unwrap_or_default() });
        rest = special.get(1..).unwrap_or_default();
    }
    text.push_str(rest);
}

impl Metrics {
    /// The media type of [`Metrics::encode`]'s text.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// The live series, the computed ones and those of the process, sorted by name. No lock is held while the text is made.
    pub fn encode(&self, computed: Vec<Gauges>) -> Vec<u8> {
        let live = self.gather().into_iter().chain(process::families()).map(|family| {
            let mut text = String::new();
            TextEncoder::new()
                .encode_utf8(std::slice::from_ref(&family), &mut text)
                .expect("every family has a name and a series, and a string takes every text");
            (family.name().to_owned(), text)
        });
        let computed = computed.into_iter().filter(|gauges| !gauges.empty).map(|gauges| (gauges.name, gauges.text));
        let mut families: Vec<_> = live.chain(computed).collect();
        families.sort_by(|(one, _), (other, _)| one.cmp(other));
        let length = families.iter().map(|(_, text)| text.len()).sum();
        let mut all = Vec::with_capacity(length);
        families.iter().for_each(|(_, text)| all.extend_from_slice(text.as_bytes()));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The crate's own encoder is the measure: the same text to the letter, whatever a far end calls its clusters.
    #[test]
    fn the_text_is_the_crates() {
        let nasty =
            ["", " ", "plain", "a\\b", "\"", "\\\"", "two\nlines", "\\n", "{a=\"b\"} 1", "d/ü ☃", "\t\r", "ends\\"];
        let values = [0.0, 1.0, -2.5, 0.1, 1e-7, 1e21, 1_769_901_000.000_001, f64::MAX];
        let names = ["manager", "target"];
        let mut ours = Gauges::new("x", "Help, in words.");
        let theirs = prometheus::GaugeVec::new(prometheus::Opts::new("rekeyd_x", "Help, in words."), &names).unwrap();
        for (number, (nasty, value)) in nasty.iter().zip(values.into_iter().cycle()).enumerate() {
            // The crate keeps series apart by their values joined, so each has a part of its own.
            for labels in [[*nasty, &format!("c{number}")], [&format!("d{number}"), nasty]] {
                ours.push(&Labels::of(&[(names[0], labels[0]), (names[1], labels[1])]), value);
                theirs.with_label_values(&labels).set(value);
            }
        }
        let families = prometheus::core::Collector::collect(&theirs);
        // In which order the series come is of no meaning.
        let lines = |text: &str| text.split('\n').map(str::to_owned).collect::<BTreeSet<_>>();
        let text = TextEncoder::new().encode_to_string(&families).unwrap();
        assert_eq!(lines(&ours.text), lines(&text));
        assert_eq!(lines(&text).len(), 2 * nasty.len() + 3);
        let mut bare = Gauges::new("y", "Help.");
        bare.push(&Labels::default(), 1.0);
        assert!(bare.text.ends_with("\nrekeyd_y 1\n"), "{}", bare.text);
    }
}

//! Gauges that are computed at each scrape, and the text in which all series leave.
//!
//! The format is that of <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::fmt::Write;

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

    /// Adds one series. The caller keeps label sets apart: a label set that comes twice breaks the scrape.
    pub fn push(&mut self, labels: &[(&str, &str)], value: f64) {
        self.empty = false;
        self.text.push_str(&self.name);
        let mut before = '{';
        for (name, value) in labels {
            self.text.push(before);
            self.text.push_str(name);
            self.text.push_str("=\"");
            push_escaped(&mut self.text, value);
            self.text.push('"');
            before = ',';
        }
        self.text.push_str(if labels.is_empty() { " " } else { "} " });
        writeln!(self.text, "{value}").expect("a string takes every text");
    }
}

/// A label's value between its quotes.
fn push_escaped(text: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
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
    use super::*;

    /// The crate's own encoder is the measure: the same series, to the letter.
    #[test]
    fn the_text_is_the_crates() {
        let labels = [("manager", "emea"), ("target", "a\\b\"c\nd/ü"), ("empty", "")];
        let mut ours = Gauges::new("x", "Help, in words.");
        let opts = prometheus::Opts::new("rekeyd_x", "Help, in words.");
        let theirs = prometheus::GaugeVec::new(opts, &labels.map(|(name, _)| name)).unwrap();
        ours.push(&labels, 1_769_901_000.000_001);
        theirs.with_label_values(&labels.map(|(_, value)| value)).set(1_769_901_000.000_001);
        let families = prometheus::core::Collector::collect(&theirs);
        // Which labels come first is of no meaning; the crate sorts them.
        let letters = |text: &str| {
            let mut lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
            lines.iter_mut().for_each(|line| line.sort_unstable());
            lines
        };
        assert_eq!(letters(&ours.text), letters(&TextEncoder::new().encode_to_string(&families).unwrap()));
        let mut bare = Gauges::new("y", "Help.");
        bare.push(&[], 1.0);
        assert!(bare.text.ends_with("\nrekeyd_y 1\n"), "{}", bare.text);
    }
}

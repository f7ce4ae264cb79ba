//! Gauges that are computed at each scrape, and the text in which all series leave.

use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::{Metrics, process};

/// One gauge with the value of each of its label sets, made anew for each scrape: what is not pushed is not there.
#[derive(Debug)]
pub struct Gauges(MetricFamily);

impl Gauges {
    /// A gauge without values. `name` comes without the prefix and ends in its unit.
    pub fn new(name: &str, help: &str) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(format!("{}_{name}", Metrics::PREFIX));
        family.set_help(help.to_owned());
        family.set_field_type(MetricType::GAUGE);
        Self(family)
    }

    /// Adds one series. The caller keeps label sets apart: a label set that comes twice breaks the scrape.
    pub fn push(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut metric = Metric::from_label(labels.collect());
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
        self.0.mut_metric().push(metric);
    }
}

impl Metrics {
    /// The media type of [`Metrics::encode`]'s text.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// The live series, the computed ones and those of the process, sorted by name. No lock is held while the text is made.
    pub fn encode(&self, computed: Vec<Gauges>) -> Vec<u8> {
        let mut families = self.gather();
        families.extend(computed.into_iter().map(|gauges| gauges.0).filter(|family| !family.get_metric().is_empty()));
        families.extend(process::families());
        families.sort_by(|one, other| one.name().cmp(other.name()));
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&families, &mut text)
            .expect("every family has a name and a series, and a vector takes every byte");
        text
    }
}

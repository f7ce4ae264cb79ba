//! What this process costs the machine, under the names that every exporter uses. Read from Linux' /proc at each scrape;
//! what cannot be read is not there.

use std::fs;

use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

/// The unit of /proc's times, `USER_HZ`: the same on every architecture that Rust runs on (proc(5), times(2)).
const TICKS_PER_SECOND: f64 = 100.0;

/// One family for each thing that could be read.
pub(super) fn families() -> Vec<MetricFamily> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (stat, status, limits) = (read("/proc/self/stat"), read("/proc/self/status"), read("/proc/self/limits"));
    // The listing's own descriptor is among them.
    let open_fds = fs::read_dir("/proc/self/fd").ok().map(|fds| (fds.count().saturating_sub(1)) as f64);
    let kilobytes = |key| first_number(&status, key).map(|number| number * 1024.0);
    let ticks = |field| field_of(&stat, field).map(|ticks| ticks / TICKS_PER_SECOND);
    let cpu = ticks(14).zip(ticks(15)).map(|(user, system)| user + system);
    let started = ticks(22).zip(first_number(&read("/proc/stat"), "btime")).map(|(after, boot)| boot + after);
    let gauge = MetricType::GAUGE;
    [
        ("process_cpu_seconds_total", "Time on a processor, for itself and in the kernel.", MetricType::COUNTER, cpu),
        ("process_start_time_seconds", "When the process was started.", gauge, started),
        ("process_resident_memory_bytes", "Memory in RAM.", gauge, kilobytes("VmRSS:")),
        ("process_virtual_memory_bytes", "Memory reserved.", gauge, kilobytes("VmSize:")),
        ("process_threads", "Threads.", gauge, first_number(&status, "Threads:")),
        ("process_open_fds", "Files and sockets that are open.", gauge, open_fds),
        ("process_max_fds", "How many may be.", gauge, first_number(&limits, "Max open files")),
    ]
    .into_iter()
    .filter_map(|(name, help, kind, value)| Some(family(name, help, kind, value?)))
    .collect()
}

fn family(name: &str, help: &str, kind: MetricType, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.mut_metric().push(metric);
    family
}

/// A field of /proc/self/stat by its number in proc(5). The second one, the program's name, may hold anything.
fn field_of(stat: &str, number: usize) -> Option<f64> {
    let (_, behind_the_name) = stat.rsplit_once(')')?;
    behind_the_name.split_whitespace().nth(number - 3)?.parse().ok()
}

/// The first number on the line that begins with `key`.
fn first_number(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program may be called anything, brackets and blanks among it.
    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 12345 1000 5";
        assert_eq!(field_of(stat, 14), Some(250.0));
        assert_eq!(field_of(stat, 15), Some(50.0));
        assert_eq!(field_of(stat, 22), Some(12345.0));
        assert_eq!(field_of("", 14), None);
    }

    /// On Linux nothing is missing.
    #[test]
    fn this_process_is_measured() {
        let families = families();
        assert_eq!(families.len(), 7, "{families:?}");
        assert!(families.iter().all(|family| {
            let metric = family.get_metric().first().unwrap();
            family.get_field_type() == MetricType::COUNTER || metric.get_gauge().get_value() > 0.0
        }));
    }
}

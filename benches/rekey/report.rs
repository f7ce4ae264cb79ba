//! Tables in Markdown, on the screen and in docs/performance.md.

use std::fmt::Write;
use std::path::Path;

const DOCUMENT: &str = "docs/performance.md";

/// Rows under a heading.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self(vec![heading.map(str::to_owned).to_vec()])
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.to_vec());
    }

    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &Vec<String>| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|{}\n", " --- |".repeat(self.0[0].len()));
        self.0.iter().enumerate().map(|(n, cells)| if n == 0 { line(cells) + &rule } else { line(cells) }).collect()
    }
}

/// All that was measured, by the name of its place in the document.
pub(crate) struct Report {
    machine: String,
    parts: Vec<(&'static str, String)>,
}

impl Report {
    pub(crate) fn new() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
        let model = model.trim_start_matches(['\t', ' ', ':']);
        let (kernel, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
        // What a builder appends to it says nothing.
        let version = kernel.split('-').next().unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("unknown");
        let machine = format!("{cores} cores of {model}, Linux {}, load before {load}.", version.trim());
        Self { machine, parts: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &'static str, tables: Vec<Table>) {
        let mut text = format!("{}\n", self.machine);
        for table in tables {
            write!(text, "\n{}", table.markdown()).unwrap();
        }
        println!("\n{text}");
        self.parts.push((name, text));
    }

    /// Writes each part over the one before, between its two marks.
    pub(crate) fn end(self, write: bool) {
        if !write {
            return;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
        let mut document = std::fs::read_to_string(&path).unwrap();
        for (name, text) in self.parts {
            let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
            let start = document.find(&begin).expect("the document has this mark") + begin.len();
            let stop = document.find(&end).expect("the document has this mark");
            document.replace_range(start..stop, &format!("\n{text}\n"));
        }
        std::fs::write(&path, document).unwrap();
        println!("written into {DOCUMENT}");
    }
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The lowest and the highest.
pub(crate) fn spread(figures: &[f64]) -> String {
    let low = figures.iter().copied().fold(f64::MAX, f64::min);
    let high = figures.iter().copied().fold(0.0, f64::max);
    format!("{low:.0} to {high:.0}")
}

//! Reads a document section by section and notes what is wrong with it instead of stopping at it.
//!
//! A [`Section`] hands out its settings one by one; what nobody asked for is unknown. What a setting means is left to
//! the caller, who passes a function from [`super::value`].

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, Spot, Written};
use super::value::{Misfit, kind_of};

/// From this likeness of two words on, one is offered for the other; the measure that clap uses for its arguments.
const LIKE: f64 = 0.7;

/// A table of the document whose settings are taken one by one.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    /// As messages call it, for example `[policy.default]`.
    title: String,
    /// Its header.
    spot: Spot,
    entries: DeTable<'d>,
    /// The settings asked for so far.
    known: Vec<&'static str>,
}

/// A key with its value, not yet understood.
pub(super) struct Setting<'d> {
    document: &'d Document<'d>,
    name: &'static str,
    key: Range<usize>,
    value: Spanned<DeValue<'d>>,
}

impl<'d> Section<'d> {
    /// The whole document; none after a syntax error, which is noted.
    pub(super) fn top(document: &'d Document<'d>) -> Option<Self> {
        let entries = document.entries()?;
        Some(Self { document, title: "the file".to_owned(), spot: Spot::TOP, entries, known: Vec::new() })
    }

    pub(super) fn document(&self) -> &'d Document<'d> {
        self.document
    }

    /// Where it begins.
    pub(super) fn spot(&self) -> &Spot {
        &self.spot
    }

    /// Whether a setting is there and not yet taken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Takes a setting out, whatever its kind.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Setting<'d>> {
        self.known.push(name);
        let (key, value) = self.entries.remove_entry(name)?;
        Some(Setting { document: self.document, name, key: key.span(), value })
    }

    /// Takes a setting that may be left out; a value that does not fit is reported.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Misfit>,
    ) -> Option<Written<T>> {
        self.take(name)?.read(read)
    }

    /// Takes a setting that must be there; its absence is reported.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Misfit>,
    ) -> Option<Written<T>> {
        match self.take(name) {
            Some(setting) => setting.read(read),
            None => {
                self.lacks(name, None);
                None
            }
        }
    }

    /// Reports that a setting is not there.
    pub(super) fn lacks(&self, name: &str, help: impl Into<Option<String>>) {
        self.document.problem(&self.spot, format!("{} lacks `{name}`", self.title), help);
    }

    /// Whether exactly one of two settings is there; reports it if not.
    pub(super) fn has_one_of(&self, one: &str, other: &str) -> bool {
        let what = match (self.has(one), self.has(other)) {
            (true, false) | (false, true) => return true,
            (true, true) => format!("{} has both `{one}` and `{other}`", self.title),
            (false, false) => format!("{} has neither `{one}` nor `{other}`", self.title),
        };
        self.document.problem(&self.spot, what, "write one of them".to_owned());
        false
    }

    /// Takes a list, each item read by itself; empty if left out.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Misfit>,
    ) -> Vec<Written<T>> {
        let Some(setting) = self.take(name) else { return Vec::new() };
        let DeValue::Array(items) = setting.value.get_ref() else {
            setting.refuse(Misfit::new(format!("must be a list, not {}", kind_of(setting.value.get_ref()))));
            return Vec::new();
        };
        let read_item = |item: &Spanned<DeValue<'_>>| {
            let spot = Spot { shown_from: setting.shown_from(item.span().start), marked: item.span() };
            match read(item.get_ref()) {
                Ok(value) => Some(Written { value, spot }),
                Err(misfit) => {
                    let spot = if misfit.secret { setting.key_spot() } else { spot };
                    self.document.problem(&spot, format!("an item of `{name}` {}", misfit.what), misfit.help);
                    None
                }
            }
        };
        items.iter().filter_map(read_item).collect()
    }

    /// Takes the section `[name]`.
    pub(super) fn section(&mut self, name: &'static str) -> Option<Section<'d>> {
        self.take(name)?.into_section(format!("[{name}]"))
    }

    /// Takes every section `[name.KEY]`, each with its key, in the order of the keys.
    pub(super) fn sections_by_name(&mut self, name: &'static str) -> Vec<(Written<String>, Section<'d>)> {
        let Some(all) = self.section(name) else { return Vec::new() };
        let read = |(key, value): (Spanned<_>, Spanned<DeValue<'d>>)| {
            let key = Written { spot: Spot::of(key.span()), value: String::from(key.into_inner()) };
            let title = format!("[{name}.{}]", key.value);
            if !matches!(value.get_ref(), DeValue::Table(_)) {
                let what = format!("`{name}` holds sections only; `{}` stands outside of them", key.value);
                self.document.problem(&key.spot, what, format!("write it below [{name}.default]"));
                return None;
            }
            let section = Section::from_value(self.document, title, key.spot.clone(), value)?;
            Some((key, section))
        };
        all.entries.into_iter().filter_map(read).collect()
    }

    /// Takes every section `[[name]]`, in the order of the file; `title` is how it is written.
    pub(super) fn sections(&mut self, name: &'static str, title: &'static str) -> Vec<Section<'d>> {
        let Some(setting) = self.take(name) else { return Vec::new() };
        let key_spot = setting.key_spot();
        let kind = kind_of(setting.value());
        let DeValue::Array(items) = setting.value.into_inner() else {
            let what = format!("`{name}` must be a list of sections, not {kind}");
            self.document.problem(&key_spot, what, format!("begin each of them with {title}, in two brackets"));
            return Vec::new();
        };
        items
            .into_iter()
            .filter_map(|item| Section::from_value(self.document, title.to_owned(), key_spot.clone(), item))
            .collect()
    }

    fn from_value(
        document: &'d Document<'d>,
        title: String,
        key: Spot,
        value: Spanned<DeValue<'d>>,
    ) -> Option<Section<'d>> {
        let (kind, span) = (kind_of(value.get_ref()), value.span());
        let DeValue::Table(entries) = value.into_inner() else {
            document.problem(&key, format!("{title} must be a section, not {kind}"), None);
            return None;
        };
        // A table's span is its header; an inline table's is everything in it, and too much to show.
        let spot = if document.text(span.clone()).starts_with('[') { Spot::of(span) } else { key };
        Some(Section { document, title, spot, entries, known: Vec::new() })
    }

    /// Reports what was not taken.
    pub(super) fn finish(self) {
        for key in self.entries.keys() {
            let what = format!("unknown setting `{}` in {}", key.get_ref(), self.title);
            let help = did_you_mean(key.get_ref(), self.known.iter().copied()).unwrap_or_else(|| {
                let mut known = self.known.clone();
                known.sort_unstable();
                format!("known here: {}", known.join(", "))
            });
            self.document.problem(&Spot::of(key.span()), what, help);
        }
    }
}

impl<'d> Setting<'d> {
    pub(super) fn value(&self) -> &DeValue<'d> {
        self.value.get_ref()
    }

    /// The key alone, for values that must not be shown.
    pub(super) fn key_spot(&self) -> Spot {
        Spot::of(self.key.clone())
    }

    /// The value, shown behind its key.
    fn spot(&self) -> Spot {
        if matches!(self.value(), DeValue::Array(_) | DeValue::Table(_)) {
            return self.key_spot();
        }
        Spot { shown_from: self.shown_from(self.value.span().start), marked: self.value.span() }
    }

    /// The key if it stands on the same line as `byte` of the value, otherwise that byte.
    fn shown_from(&self, byte: usize) -> usize {
        if self.document.text(self.key.start..byte).contains('\n') { byte } else { self.key.start }
    }

    /// Reports the value.
    pub(super) fn refuse(&self, misfit: Misfit) {
        let spot = if misfit.secret { self.key_spot() } else { self.spot() };
        self.document.problem(&spot, format!("`{}` {}", self.name, misfit.what), misfit.help);
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&DeValue<'_>) -> Result<T, Misfit>) -> Option<Written<T>> {
        match read(self.value.get_ref()) {
            Ok(value) => Some(Written { value, spot: self.spot() }),
            Err(misfit) => {
                self.refuse(misfit);
                None
            }
        }
    }

    /// The value as a section.
    pub(super) fn into_section(self, title: String) -> Option<Section<'d>> {
        let key = self.key_spot();
        Section::from_value(self.document, title, key, self.value)
    }
}

/// The known word that was probably meant, as a question.
pub(super) fn did_you_mean<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    known
        .map(|candidate| (strsim::jaro(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > LIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

//! Reads a listing to its end, whatever its pages claim.
//!
//! Servers differ in how many entries they put on a page and in whether they link to the next one, so neither a short
//! page nor a missing link ends a listing by itself: it ends with an empty page, or when no next page is spoken of and
//! the promised number of entries is there. A full page is never the last by the count alone: a count may lie.

use std::collections::HashSet;

use super::wire::{Identified, Page};
use crate::remote::error::Unreadable;

/// The most that Ops Manager gives; older servers give 100 whatever is asked.
pub(super) const PAGE_SIZE: u32 = 500;
/// 100,000 entries from a server that gives 100 a page.
const MOST_PAGES: u32 = 1_000;
/// Far more than one project or one manager has.
const MOST_ENTRIES: usize = 100_000;
/// Bytes of all pages together.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// A listing while it is read.
pub(super) struct Pages<T> {
    entries: Vec<T>,
    seen: HashSet<String>,
    odd: usize,
    read: u32,
    bytes: usize,
    /// How many entries there are, by the newest page that said.
    promised: Option<u64>,
}

impl<T: Identified> Pages<T> {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), seen: HashSet::new(), odd: 0, read: 0, bytes: 0, promised: None }
    }

    /// The number of the page to ask for, from 1.
    pub(super) fn next_page(&self) -> u32 {
        self.read + 1
    }

    /// Takes a page in, which came in so many bytes, and tells whether there are more. An entry that moved to the next page
    /// meanwhile is kept once. One that cannot be told from others is passed over and counted.
    pub(super) fn add(&mut self, page: Page<T>, bytes: usize) -> Result<bool, Unreadable> {
        self.read += 1;
        self.bytes += bytes;
        if self.bytes > MOST_BYTES {
            return Err(Unreadable::TooManyBytes(MOST_BYTES));
        }
        let has_next = page.has_next();
        let total = page.total_count;
        self.promised = total.or(self.promised);
        let results = page.results.ok_or(Unreadable::NoResults)?;
        if results.is_empty() {
            return Ok(false);
        }
        let is_full = results.len() >= PAGE_SIZE as usize;
        let before = self.entries.len();
        for entry in results {
            match entry.known() {
                Some(entry) if self.seen.insert(entry.id().unwrap_or_default().to_owned()) => self.entries.push(entry),
                Some(_) => {}
                None => self.odd += 1,
            }
        }
        if self.entries.len() > MOST_ENTRIES {
            return Err(Unreadable::TooManyEntries(MOST_ENTRIES));
        }
        if self.entries.is_empty() {
            return Err(Unreadable::NoId);
        }
        if self.entries.len() == before {
            // Entries that cannot be told apart may be new ones or the same again: either way nothing more comes of it.
            return if self.odd > 0 { Ok(false) } else { Err(Unreadable::PageRepeats(self.read)) };
        }
        let is_whole =
            !has_next && !is_full && total.is_some_and(|total| (self.entries.len() + self.odd) as u64 >= total);
        if !is_whole && self.read == MOST_PAGES {
            return Err(Unreadable::TooManyPages(MOST_PAGES));
        }
        Ok(!is_whole)
    }

    /// What keeps the entries from being all that there are: some were passed over, or there are fewer than the server
    /// promised. What came and went while the pages were read may be the cause; the next listing tells.
    pub(super) fn lacking(&self) -> Option<Unreadable> {
        let odd = (self.odd > 0).then_some(Unreadable::OddEntries(self.odd));
        odd.or_else(|| self.miscounted(|promised, read| promised > read))
    }

    /// That there are more than the server promised: no entry is the worse for it.
    pub(super) fn surplus(&self) -> Option<Unreadable> {
        self.miscounted(|promised, read| promised < read)
    }

    fn miscounted(&self, wrong: impl Fn(u64, u64) -> bool) -> Option<Unreadable> {
        let (promised, read) = (self.promised?, (self.entries.len() + self.odd) as u64);
        wrong(promised, read).then_some(Unreadable::Miscounted { promised, read })
    }

    pub(super) fn into_entries(self) -> Vec<T> {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Cluster;
    use super::*;
    use serde_json::{Value, json};

    /// Feeds the pages of a server until the listing wants no more; gives the ids and the number of pages asked for.
    fn read(server: impl Fn(u32) -> Value) -> Result<(Vec<String>, u32), Unreadable> {
        let mut pages: Pages<Cluster> = Pages::new();
        loop {
            let page = serde_json::from_value(server(pages.next_page()))?;
            if !pages.add(page, 0)? {
                let asked = pages.read;
                return Ok((pages.into_entries().into_iter().filter_map(|cluster| cluster.id).collect(), asked));
            }
        }
    }

    fn page(ids: std::ops::Range<u32>, rest: Value) -> Value {
        let mut page = rest;
        page["results"] = ids.map(|id| json!({ "id": format!("c{id}") })).collect();
        page
    }

    fn links_to_next() -> Value {
        json!([{ "rel": "self", "href": "…" }, { "rel": "next", "href": "https://elsewhere.example/?pageNum=9" }])
    }

    #[test]
    fn every_dialect_of_paging_is_read_to_its_end() {
        let numbered = |n: u32, last: u32| if n <= last { (n - 1) * 2..n * 2 } else { 0..0 };
        let linked = |n| page(numbered(n, 3), if n < 3 { json!({"links": links_to_next()}) } else { json!({}) });
        let counted = |n| page(numbered(n, 3), json!({"totalCount": 6, "links": []}));
        let both = |n| {
            page(numbered(n, 3), json!({"totalCount": 6, "links": if n < 3 { links_to_next() } else { json!([]) }}))
        };
        let bare = |n| page(numbered(n, 3), json!({}));
        for (server, asked) in [(&linked as &dyn Fn(u32) -> Value, 4), (&counted, 3), (&both, 3), (&bare, 4)] {
            let (ids, pages) = read(server).unwrap();
            assert_eq!(ids.len(), 6);
            assert_eq!(pages, asked);
        }
        assert_eq!(read(|_| json!({"results": [], "totalCount": 0})).unwrap(), (vec![], 1));
    }

    #[test]
    fn a_count_that_lies_low_does_not_hide_the_pages_that_a_link_promises() {
        let server = |n: u32| match n {
            1 => page(0..2, json!({"totalCount": 2, "links": links_to_next()})),
            2 => page(2..4, json!({"totalCount": 2, "links": []})),
            _ => json!({"results": []}),
        };
        assert_eq!(read(server).unwrap().0.len(), 4);
    }

    #[test]
    fn an_entry_that_moves_between_pages_counts_once() {
        let server = |n: u32| match n {
            1 => page(0..3, json!({"totalCount": 5})),
            2 => page(2..5, json!({"totalCount": 5})),
            _ => panic!("asked for page {n}"),
        };
        assert_eq!(read(server).unwrap().0, ["c0", "c1", "c2", "c3", "c4"]);
    }

    #[test]
    fn a_listing_without_end_is_an_error_and_not_a_loop() {
        let same = |_| page(0..3, json!({"links": links_to_next()}));
        assert!(matches!(read(same), Err(Unreadable::PageRepeats(2))));
        let endless = |n| page(n..n + 1, json!({"links": links_to_next()}));
        assert!(matches!(read(endless), Err(Unreadable::TooManyPages(MOST_PAGES))));
    }

    #[test]
    fn a_listing_without_measure_is_an_error() {
        let large = |n| page(n * 500..(n + 1) * 500, json!({"links": links_to_next()}));
        assert!(matches!(read(large), Err(Unreadable::TooManyEntries(MOST_ENTRIES))));
        let mut pages: Pages<Cluster> = Pages::new();
        let mut add = |n| pages.add(serde_json::from_value(page(n..n + 1, json!({}))).unwrap(), MOST_BYTES / 2);
        assert!(add(1).unwrap() && add(2).unwrap());
        assert!(matches!(add(3), Err(Unreadable::TooManyBytes(MOST_BYTES))));
    }

    #[test]
    fn a_page_of_odd_entries_ends_a_listing_and_is_told() {
        let mut pages: Pages<Cluster> = Pages::new();
        assert!(pages.add(serde_json::from_value(page(0..2, json!({}))).unwrap(), 0).unwrap());
        assert!(!pages.add(serde_json::from_value(json!({"results": [{"id": 7}]})).unwrap(), 0).unwrap());
        assert!(matches!(pages.lacking(), Some(Unreadable::OddEntries(1))));
    }

    #[test]
    fn what_is_not_a_listing_is_never_an_empty_one() {
        assert!(matches!(read(|_| json!({})), Err(Unreadable::NoResults)));
        assert!(matches!(read(|_| json!({"results": null})), Err(Unreadable::NoResults)));
        assert!(matches!(read(|_| json!({"results": [{"id": "../x"}]})), Err(Unreadable::NoId)));
        assert!(matches!(read(|_| json!([])), Err(Unreadable::NotJson(_))));
    }
}

//! A bounded collection in order of arrival, and the pages that a listing gives out of it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::problem::Problem;
use super::query::Query;

/// Things by id, in order of arrival.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    things: BTreeMap<u64, (String, T)>,
    places: HashMap<String, u64>,
    next_place: u64,
    capacity: usize,
}

/// One page of a listing, newest first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The ids on the page.
    pub(super) ids: Vec<String>,
    /// Whether more follow in the direction of the listing.
    pub(super) has_more: bool,
    /// The value of the `page` parameter to go on with.
    pub(super) next: Option<String>,
}

impl<T> Shelf<T> {
    /// An empty shelf for at most `capacity` things.
    pub(super) fn new(capacity: usize) -> Self {
        Self { things: BTreeMap::new(), places: HashMap::new(), next_place: 0, capacity }
    }

    /// Whether nothing more fits.
    pub(super) fn is_full(&self) -> bool {
        self.things.len() >= self.capacity
    }

    /// Adds a thing; on a full shelf, the oldest one gives way.
    pub(super) fn push(&mut self, id: String, thing: T) {
        if let Some(place) = self.places.get(&id) {
            self.things.insert(*place, (id, thing));
            return;
        }
        if self.is_full()
            && let Some((_place, (oldest, _thing))) = self.things.pop_first()
        {
            self.places.remove(&oldest);
        }
        self.places.insert(id.clone(), self.next_place);
        self.things.insert(self.next_place, (id, thing));
        self.next_place += 1;
    }

    /// The thing of that id.
    pub(super) fn find(&self, id: &str) -> Option<&T> {
        self.things.get(self.places.get(id)?).map(|(_id, thing)| thing)
    }

    /// The thing of that id, to be changed.
    pub(super) fn find_mut(&mut self, id: &str) -> Option<&mut T> {
        self.things.get_mut(self.places.get(id)?).map(|(_id, thing)| thing)
    }

    /// Every id, newest first.
    pub(super) fn ids(&self) -> Vec<String> {
        self.things.values().rev().map(|(id, _thing)| id.clone()).collect()
    }

    /// The page that `query` asks for (`limit`, and one of `after_id`, `before_id`, `page`), of
    /// the things that `keep` lets through.
    pub(super) fn page(&self, query: &Query, keep: impl Fn(&T) -> bool) -> Result<Page, Problem> {
        let limit = query.limit()?;
        let after = query.find("after_id").or(query.find("page").map(page_cursor).transpose()?);
        let cursors = ["after_id", "before_id", "page"];
        if cursors.iter().filter(|name| query.find(name).is_some()).count() > 1 {
            let message = "after_id, before_id and page exclude each other";
            return Err(Problem::field("before_id", message));
        }
        let kept = |(_place, (id, thing)): (&u64, &(String, T))| keep(thing).then(|| id.clone());
        let mut ids: Vec<String> = if let Some(cursor) = query.find("before_id") {
            let newer = (Bound::Excluded(self.place(cursor, "before_id")?), Bound::Unbounded);
            self.things.range(newer).filter_map(kept).take(limit + 1).collect()
        } else if let Some(cursor) = after {
            let older = ..self.place(cursor, "after_id")?;
            self.things.range(older).rev().filter_map(kept).take(limit + 1).collect()
        } else {
            self.things.iter().rev().filter_map(kept).take(limit + 1).collect()
        };
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        let backward = query.find("before_id").is_some();
        if backward {
            ids.reverse();
        }
        let next = ids.last().filter(|_| has_more && !backward).map(|id| format!("page_{id}"));
        Ok(Page { ids, has_more, next })
    }

    fn place(&self, id: &str, param: &str) -> Result<u64, Problem> {
        let unknown = || Problem::field(param, format!("{param} names nothing in this listing"));
        self.places.get(id).copied().ok_or_else(unknown)
    }
}

fn page_cursor(token: &str) -> Result<&str, Problem> {
    token.strip_prefix("page_").ok_or_else(|| Problem::field("page", "page is not a page token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> Shelf<u32> {
        let mut shelf = Shelf::new(5);
        (1..=6).for_each(|number| shelf.push(format!("t{number}"), number));
        shelf
    }

    fn page(query: &str) -> Result<Page, Problem> {
        shelf().page(&Query::read(query), |number| *number != 4)
    }

    #[test]
    fn pages_go_both_ways_and_the_oldest_gives_way() {
        let first = page("limit=2").unwrap();
        assert_eq!((first.ids, first.has_more), (vec!["t6".to_owned(), "t5".to_owned()], true));
        let second = page(&format!("limit=2&page={}", first.next.unwrap())).unwrap();
        assert_eq!((second.ids, second.has_more), (vec!["t3".to_owned(), "t2".to_owned()], false));
        assert_eq!(second.next, None);
        let back = page("limit=1&before_id=t2").unwrap();
        assert_eq!((back.ids, back.has_more), (vec!["t3".to_owned()], true));
        assert!(shelf().find("t1").is_none());
    }

    #[test]
    fn cursors_that_clash_or_name_nothing_are_refused() {
        for bad in ["after_id=t6&before_id=t2", "after_id=t1", "page=t5", "limit=0", "limit=1001"] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }
}

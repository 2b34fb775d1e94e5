//! `[[admin.view]]`: views of the list of changes that the console shows everybody.

use std::collections::HashSet;

use crate::settings::reader::Reader;
use crate::settings::value::{Meant, name, text};

/// The longest query of a saved view, in bytes.
pub const VIEW_QUERY_BYTES_MAX: usize = 2_048;

/// The most characters of a view's name.
pub const VIEW_NAME_CHARS_MAX: usize = 64;

/// The most views.
const VIEWS_MAX: usize = 32;

/// Tells what is wrong with the query of a view, and its fix. Queries are read by the console,
/// which stands above this room.
pub type QueryCheck = fn(&str) -> Result<(), String>;

/// One `[[admin.view]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedView {
    /// The name, which no other view has.
    pub name: String,
    /// The query of the page of changes, as it stands behind the `?`.
    pub query: String,
}

/// Reads `[[admin.view]]`.
pub(super) fn read(reader: &mut Reader<'_>, check: QueryCheck) -> Vec<SavedView> {
    let tables = reader.tables("admin.view");
    if let Some(beyond) = tables.get(VIEWS_MAX) {
        let message = format!("there are more than {VIEWS_MAX} views: remove some");
        reader.complaints.error(&beyond.place.clone(), &message);
        return Vec::new();
    }
    let mut names = HashSet::new();
    let mut views = Vec::new();
    for table in tables {
        let called = reader.field(&table, "admin.view[].name", name(VIEW_NAME_CHARS_MAX));
        let query = reader.field(&table, "admin.view[].query", |node| bounded(&text(node)?));
        let (Some((name, place)), Some((query, query_place))) = (called, query) else { continue };
        if !names.insert(name.clone()) {
            let message = format!("two [[admin.view]] are named {name:?}: rename one");
            reader.complaints.error(&place, &message);
        }
        if let Err(fault) = check(&query) {
            let message = format!("`query` of the view {name:?}: {fault}");
            reader.complaints.error(&query_place, &message);
        }
        views.push(SavedView { name, query });
    }
    views
}

fn bounded(query: &str) -> Meant<String> {
    let fits = query.len() <= VIEW_QUERY_BYTES_MAX;
    let fix = || format!("write at most {VIEW_QUERY_BYTES_MAX} bytes: ask for less at once");
    fits.then(|| query.to_owned()).ok_or_else(fix)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::check::{Checked, check_text_with};

    /// The check of a file with these views, whose queries begin with `a`.
    fn checked(views: &str) -> Checked {
        let begins = |query: &str| {
            query.starts_with('a').then_some(()).ok_or_else(|| format!("{query}: write an a"))
        };
        let text = format!(
            "upstream = {{ provider = 'qoder', url = 'http://127.0.0.1:1' }}\n\
             audit.database = 'sqlite:///nowhere/log.db'\n{views}"
        );
        let folder = tempfile::tempdir().unwrap();
        let text = text.replace("/nowhere", folder.path().to_str().unwrap());
        check_text_with(Path::new("changegate.toml"), &text, &[], begins)
    }

    fn view(name: &str, query: &str) -> String {
        format!("[[admin.view]]\nname = {name:?}\nquery = {query:?}\n")
    }

    #[test]
    fn views_are_read_in_their_order() {
        let many: String = (0..VIEWS_MAX).map(|n| view(&format!("夜 {n}"), "a=1&b=2")).collect();
        let config = checked(&many).config.unwrap();
        assert_eq!(config.views.len(), VIEWS_MAX);
        let last = SavedView { name: "夜 31".to_owned(), query: "a=1&b=2".to_owned() };
        assert_eq!(config.views.last(), Some(&last));
    }

    #[test]
    fn views_that_can_t_be_are_refused_with_their_fix() {
        let long_name = "x".repeat(VIEW_NAME_CHARS_MAX + 1);
        let long = "a".repeat(VIEW_QUERY_BYTES_MAX + 1);
        let many: String = (0..=VIEWS_MAX).map(|n| view(&n.to_string(), "a")).collect();
        for (views, expected) in [
            ("[[admin.view]]\nquery = 'a'\n", "`name` is missing in this [[admin.view]]: add it"),
            ("[[admin.view]]\nname = 'a'\n", "`query` is missing in this [[admin.view]]: add it"),
            (&view("", "a"), "`admin.view.name` is \"\": write 1 to 64 characters"),
            (&view(&long_name, "a"), "write 1 to 64 characters"),
            (&view("a", ""), "`admin.view.query` is \"\": write a text in quotes"),
            (&view("a", &long), "write at most 2048 bytes"),
            (&(view("b", "a") + &view("b", "a=1")), "two [[admin.view]] are named \"b\""),
            (&view("c", "b=1"), "`query` of the view \"c\": b=1: write an a"),
            (&many, "there are more than 32 views: remove some"),
            ("[admin]\nview = 'a'\n", "write [[admin.view]]"),
        ] {
            let checked = checked(views);
            let errors: Vec<_> =
                checked.complaints.iter().filter(|complaint| !complaint.warning).collect();
            assert!(checked.config.is_none() && errors.len() == 1, "{views}: {errors:?}");
            let message = &errors[0].message;
            assert!(errors[0].line.is_some() && message.contains(expected), "{views}: {message}");
        }
    }
}

//! Which file imports which, and the circles that they make.

use std::collections::{BTreeMap, BTreeSet};

/// Files by their modules, each with the paths that it imports.
pub(crate) struct House {
    imports: BTreeMap<String, Vec<Import>>,
}

struct Import {
    path: Vec<String>,
    /// Whether the name is only handed on.
    is_public: bool,
}

impl House {
    /// The modules below `src/`, their tests aside.
    pub(crate) fn of(files: &[(String, String)]) -> Self {
        let module = |name: &str| {
            let path = name.strip_prefix("src/")?.strip_suffix(".rs")?;
            let is_test = path.split('/').any(|part| part == "tests");
            let is_code = !is_test && path != "main" && path != "cases";
            is_code.then(|| if path == "lib" { String::new() } else { path.replace('/', "::") })
        };
        let imports = files.iter().filter_map(|(name, text)| {
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            Some((module(name)?, imports(code)))
        });
        Self { imports: imports.collect() }
    }

    /// For each module, those whose names it uses. What a module takes from those below it is not
    /// counted: it opens their room.
    fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, imports) in &self.imports {
            for import in imports.iter().filter(|import| !import.is_public) {
                let Some(path) = self.absolute(module, &import.path) else { continue };
                let Some(home) = self.home(&path, 0) else { continue };
                let is_below = module.is_empty() || home.starts_with(&format!("{module}::"));
                if home != module && !is_below {
                    edges.entry(module).or_default().insert(home);
                }
            }
        }
        edges
    }

    /// For each room, those that it imports. A room is a module at the top, with all below it.
    pub(crate) fn rooms(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let room = |module: &'_ str| module.split("::").next().unwrap_or_default().len();
        let mut rooms: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, imported) in self.edges() {
            let Some(own) = module.get(..room(module)).filter(|own| !own.is_empty()) else {
                continue;
            };
            let others = imported.into_iter().filter_map(|other| other.get(..room(other)));
            let others = others.filter(|other| *other != own && !other.is_empty());
            rooms.entry(own).or_default().extend(others);
        }
        rooms
    }

    /// Each circle as the modules in it.
    pub(crate) fn circles(&self) -> Vec<Vec<&str>> {
        let edges = self.edges();
        let reached = |from: &str| {
            let mut seen = BTreeSet::new();
            let mut next: Vec<&str> = edges.get(from).into_iter().flatten().copied().collect();
            while let Some(module) = next.pop() {
                if seen.insert(module) {
                    next.extend(edges.get(module).into_iter().flatten());
                }
            }
            seen
        };
        let all: BTreeMap<&str, BTreeSet<&str>> =
            edges.keys().map(|module| (*module, reached(module))).collect();
        let mut circles: Vec<Vec<&str>> = Vec::new();
        for (module, ahead) in &all {
            let back = |other: &&&str| all.get(**other).is_some_and(|far| far.contains(module));
            let circle: Vec<&str> = ahead.iter().filter(back).copied().collect();
            if !circle.is_empty() && !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        circles
    }

    fn absolute(&self, module: &str, path: &[String]) -> Option<Vec<String>> {
        let mut here: Vec<String> =
            module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let supers = path.iter().take_while(|part| *part == "super").count();
        match path.first()?.as_str() {
            "crate" => here.clear(),
            "self" => {}
            "super" => here.truncate(here.len().checked_sub(supers)?),
            first => {
                let child = [here.join("::").as_str(), first].join("::");
                self.imports.contains_key(child.trim_start_matches(':')).then_some(())?;
                here.extend(path.iter().cloned());
                return Some(here);
            }
        }
        here.extend(path.iter().skip(supers.max(1)).cloned());
        Some(here)
    }

    /// The module in which a path's name is at home: one that hands it on is passed through.
    fn home(&self, path: &[String], steps: usize) -> Option<&str> {
        let (module, name) = (0..=path.len()).rev().find_map(|parts| {
            let module = path.get(..parts)?.join("::");
            self.imports.get_key_value(&module).map(|(module, _)| (module, path.get(parts)))
        })?;
        let Some(name) = name.filter(|_| steps < 8) else { return Some(module) };
        let handed = self.imports.get(module)?.iter().find(|import| {
            import.is_public && import.path.last() == Some(name) && import.path.len() > 1
        });
        let from = handed.and_then(|import| self.absolute(module, &import.path));
        match from.filter(|from| from != path) {
            Some(from) => self.home(&from, steps + 1),
            None => Some(module),
        }
    }
}

/// The paths that `use` names, and those that begin with `crate::` or `super::` in the code.
fn imports(code: &str) -> Vec<Import> {
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for statement in code.split(';') {
        let Some((before, tree)) = statement.rsplit_once("use ") else { continue };
        let visibility = before.rsplit(['\n', '}']).next().unwrap_or_default().trim();
        let is_public = visibility.starts_with("pub");
        if visibility.is_empty() || is_public {
            spread(&mut Vec::new(), tree, is_public, &mut found);
        }
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for word in code.split(|c| !is_word(c)) {
        if word.starts_with("crate::") || word.starts_with("super::") {
            let path = word.split("::").map(str::to_owned).collect();
            found.push(Import { path, is_public: false });
        }
    }
    found
}

/// Adds each path of a tree such as `a::{b, c::{d, e}}`.
fn spread(above: &mut Vec<String>, tree: &str, is_public: bool, found: &mut Vec<Import>) {
    let tree = tree.trim();
    let (path, inside) = match tree.split_once('{') {
        Some((path, rest)) => (path, rest.strip_suffix('}')),
        None => (tree.split(" as ").next().unwrap_or(tree), None),
    };
    let depth = above.len();
    let parts = path.split("::").map(str::trim).filter(|part| !part.is_empty());
    above.extend(parts.map(str::to_owned));
    match inside {
        Some(inside) => {
            let (mut start, mut open) = (0, 0);
            for (place, c) in inside.char_indices().chain([(inside.len(), ',')]) {
                open += i32::from(c == '{') - i32::from(c == '}');
                if c == ',' && open == 0 {
                    let one = inside.get(start..place).unwrap_or_default();
                    if !one.trim().is_empty() {
                        spread(above, one, is_public, found);
                    }
                    start = place + 1;
                }
            }
        }
        None => found.push(Import { path: above.clone(), is_public }),
    }
    above.truncate(depth);
}

#[test]
fn a_circle_is_found_and_a_parent_and_its_child_are_none() {
    let file = |name: &str, text: &str| (format!("src/{name}.rs"), text.to_owned());
    let open = [
        file("lib", "pub mod a;\nmod b;\n"),
        file("a", "mod inner;\npub use self::inner::Thing;\nfn f(_: crate::b::Other) {}\n"),
        file("a/inner", "use super::f;\npub struct Thing;\n"),
        file("b", "pub struct Other;\n"),
    ];
    assert_eq!(House::of(&open).circles(), Vec::<Vec<&str>>::new());
    let closed = [
        file("lib", ""),
        file("a", "pub use self::inner::Thing;\n"),
        file("a/inner", "use crate::{\n    b::{Other, Third as _},\n};\n"),
        file("b", "// use crate::c::Nothing;\nuse crate::a::Thing;\n"),
        file("c", "use crate::b::Other;\n"),
    ];
    assert_eq!(House::of(&closed).circles(), [["a::inner", "b"]]);
}

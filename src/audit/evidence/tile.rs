//! Tiles: the hashes of a tree in pieces of up to 256, by their paths (C2SP tlog-tiles).

use std::fmt;
use std::ops::Range;

use super::tree::TILE_WIDTH;

/// The highest level of tiles: 256^8 leaves are more than there can be.
const LEVEL_MAX: u8 = 7;

/// The kind of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TileKind {
    /// Hashes of that level of tiles.
    Hashes(u8),
    /// The leaves' own texts.
    Entries,
}

/// A tile, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) kind: TileKind,
    pub(crate) index: u64,
    /// How many of its hashes there are, 1 to 256.
    pub(crate) width: u16,
}

impl Tile {
    /// The tile from its path below `tile/`; `None` where that names none.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let (path, width) = match path.split_once(".p/") {
            Some((path, width)) => (path, number(width).filter(|width| (1..256).contains(width))?),
            None => (path, TILE_WIDTH),
        };
        let (kind, index) = path.split_once('/')?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(number(level)?.try_into().ok()?),
        };
        if let TileKind::Hashes(level) = kind
            && level > LEVEL_MAX
        {
            return None;
        }
        Some(Self { kind, index: of_groups(index)?, width: width.try_into().ok()? })
    }

    /// Where its hashes stand at their level.
    pub(crate) fn range(&self) -> Range<u64> {
        let from = self.index * TILE_WIDTH;
        from..from + u64::from(self.width)
    }

    /// Whether a tree of that size has it.
    pub(crate) fn is_in(&self, size: u64) -> bool {
        let level = match self.kind {
            TileKind::Hashes(level) => u32::from(level),
            TileKind::Entries => 0,
        };
        self.range().end <= size >> (8 * level)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "{level}/")?,
            TileKind::Entries => f.write_str("entries/")?,
        }
        let (mut groups, mut rest) = (vec![self.index % 1_000], self.index / 1_000);
        while rest > 0 {
            groups.push(rest % 1_000);
            rest /= 1_000;
        }
        for group in groups.iter().skip(1).rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", self.index % 1_000)?;
        if u64::from(self.width) < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// A number that is written as it must be: digits alone, none before it that is zero.
fn number(text: &str) -> Option<u64> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// The index from groups of three digits, all but the last marked by an x.
fn of_groups(path: &str) -> Option<u64> {
    let mut index: u64 = 0;
    let mut groups = path.split('/').peekable();
    let is_long = path.len() > 3;
    while let Some(group) = groups.next() {
        let is_last = groups.peek().is_none();
        let digits = if is_last { Some(group) } else { group.strip_prefix('x') };
        let digits = digits.filter(|digits| digits.len() == 3)?;
        if index == 0 && is_long && digits == "000" && !is_last {
            return None;
        }
        let value = digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)?;
        index = index.checked_mul(1_000)?.checked_add(value.parse().ok()?)?;
    }
    (index < u64::MAX / TILE_WIDTH - 1).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_back_as_they_are_written() {
        let tile = |kind, index, width| Tile { kind, index, width };
        for (path, expected) in [
            ("0/000", tile(TileKind::Hashes(0), 0, 256)),
            ("0/x001/x234/067", tile(TileKind::Hashes(0), 1_234_067, 256)),
            ("1/001.p/17", tile(TileKind::Hashes(1), 1, 17)),
            ("entries/x001/000.p/255", tile(TileKind::Entries, 1_000, 255)),
        ] {
            assert_eq!(Tile::parse(path), Some(expected), "{path}");
            assert_eq!(expected.to_string(), path);
        }
        for path in [
            "",
            "0",
            "0/",
            "0/0",
            "0/00",
            "8/000",
            "00/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/x000/001",
            "0/001/002",
            "0/x001",
            "0/000.p/",
            "0/+01",
            "data/000",
            "0/000/",
            "0/000.p/01",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_tree_has_the_tiles_that_the_specification_names() {
        // Its example: 70,000 leaves.
        for (path, expected) in [
            ("0/272", true),
            ("0/273.p/112", true),
            ("0/273.p/113", false),
            ("0/273", false),
            ("1/000", true),
            ("1/001.p/17", true),
            ("1/001.p/18", false),
            ("2/000.p/1", true),
            ("2/000.p/2", false),
            ("entries/273.p/112", true),
        ] {
            assert_eq!(Tile::parse(path).unwrap().is_in(70_000), expected, "{path}");
        }
    }
}

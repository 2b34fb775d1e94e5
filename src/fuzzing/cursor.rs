//! Texts that operators send to go on in a list, and to bound it in time.

use crate::admin::filter::moment;
use crate::audit::query::Cursor;
use crate::base::clock::Timestamp;

/// A cursor is refused or is one that is printed so; a moment is refused or is one that reads the
/// same when it is printed.
///
/// # Panics
/// Where that does not hold.
pub fn cursor(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else { return };
    if let Ok(cursor) = Cursor::parse(text) {
        assert!(cursor.seq > 0 && cursor.until.is_none_or(|until| until > 0));
        assert_eq!(cursor.to_string(), text);
    }
    let now = Timestamp::from_millis(1_781_427_491_123);
    if let Ok(at) = moment("since", text, now) {
        let printed = at.to_string();
        assert_eq!(moment("since", &printed, now), Ok(at), "{printed}");
    }
}

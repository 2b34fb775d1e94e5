-- Which key the fingerprints and digests of the log were made under, so that another one is not
-- taken for it; and what tells the log from the database of another program ("CGAT").

PRAGMA application_id = 1128743252;

-- Each key from the first change on that was recorded under it; the newest is the one in force.
CREATE TABLE keys (
    number    INTEGER PRIMARY KEY,
    id        BLOB    NOT NULL CHECK (length(id) = 8), -- a keyed digest: it tells nothing of the key
    first_seq INTEGER NOT NULL CHECK (first_seq > 0),
    at        INTEGER NOT NULL
) STRICT;

-- As large as a batch of records, written and emptied to find out whether there is room for one.
CREATE TABLE ballast (
    one  INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    room BLOB    NOT NULL
) STRICT;

CREATE TRIGGER keys_stay BEFORE UPDATE ON keys
BEGIN SELECT RAISE(ABORT, 'the key of a record is never altered'); END;

CREATE TRIGGER keys_are_kept BEFORE DELETE ON keys
BEGIN SELECT RAISE(ABORT, 'the key of a record is kept'); END;

CREATE TRIGGER keys_are_not_replaced BEFORE INSERT ON keys
WHEN NEW.number > 0 AND EXISTS (SELECT 1 FROM keys WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the key of a record is never replaced'); END;

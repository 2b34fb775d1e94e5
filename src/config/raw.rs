//! What may stand in the file, as typed.

//! The work of redaction, counted where tests ask for it: bytes looked at and bytes made. A program
//! counts nothing.

#[cfg(test)]
thread_local! {
    static DONE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Notes that so many bytes were looked at.
#[cfg(test)]
pub(super) fn looked(bytes: usize) {
    DONE.set(DONE.get() + bytes);
}

/// Notes nothing.
#[cfg(not(test))]
pub(super) fn looked(_bytes: usize) {}

/// Notes that a text of so many bytes was made.
pub(super) fn made(bytes: usize) {
    looked(bytes);
}

/// The work of this thread since it was last asked for.
#[cfg(test)]
pub(super) fn taken() -> usize {
    DONE.replace(0)
}

//! The ground: time, ids, keys and texts. It knows neither the domain nor who calls.

pub mod canonical;
pub(crate) mod certificate;
pub mod claims;
pub mod clock;
pub(crate) mod count;
pub mod database;
pub mod excerpt;
pub(crate) mod file;
pub mod ids;
pub mod key;
pub(crate) mod peer;
pub mod pointer;
pub(crate) mod scan;
pub mod verbosity;
pub(crate) mod verifier;
pub(crate) mod visible;
pub(crate) mod work;

//! `changegate openapi`: the description of the admin API.

use super::{Failure, print};
use crate::admin::OPENAPI;

/// Prints it, OpenAPI 3.1 as JSON.
pub fn run() -> Result<(), Failure> {
    print::line(OPENAPI.as_str())
}

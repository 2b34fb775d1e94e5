//! The built-in rule on metadata keys.

/// `[metadata]`.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataRule {}

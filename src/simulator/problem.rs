//! An error answer of the upstream: status, type, message, and the field at fault.

use serde_json::{Map, Value};

/// Why a call is answered with an error. The message is what a client reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The HTTP status.
    pub(super) status: u16,
    /// The message: what is wrong.
    pub(super) message: String,
    /// The dotted path of the field at fault, where there is one.
    pub(super) param: Option<String>,
}

impl Problem {
    /// A field's value is wrong.
    pub(super) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into(), param: Some(param.into()) }
    }

    /// An error without a field.
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None }
    }

    /// Nothing has that id or path.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(404, format!("{what} not found"))
    }

    /// The error's type, as the reference's table of errors has it.
    const fn kind(status: u16) -> &'static str {
        match status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            409 => "conflict_error",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            500..=599 => "api_error",
            _ => "invalid_request_error",
        }
    }

    /// The envelope that every provider of this shape uses.
    pub(super) fn envelope(&self, request_id: &str) -> Value {
        let mut error = Map::new();
        error.insert("type".to_owned(), Self::kind(self.status).into());
        error.insert("message".to_owned(), self.message.as_str().into());
        if let Some(param) = &self.param {
            error.insert("param".to_owned(), param.as_str().into());
        }
        serde_json::json!({"type": "error", "error": error, "request_id": request_id})
    }
}

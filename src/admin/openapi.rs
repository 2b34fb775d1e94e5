//! The parts of the API's description that follow from its routes: who may ask, and the answers
//! to a question that is not answered.

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Header, OpenApi, Ref, Response, ResponseBuilder,
};
use utoipa::{Modify, ToSchema as _};

use super::answer::Envelope;
use super::{ROUTES, Route};

const TOKEN: &str = "An admin token: of a viewer or any other role, or of the named role or one \
    above it (viewer, auditor, approver, admin). On a loopback listener without configured tokens \
    none is asked for.";

/// The answers that several paths give, by their statuses.
const ANSWERS: [(&str, &str); 10] = [
    ("400", "The query or the body means nothing; the message names what would."),
    ("401", "No admin token that holds."),
    ("403", "The token's role, or the page that asks, may not; the message says why."),
    ("404", "The log knows no such thing."),
    ("408", "The body did not come in time."),
    ("409", "What is decided stands otherwise by now; the message says how."),
    ("413", "The body is too long."),
    ("415", "The body is not JSON."),
    (
        "503",
        "The store does not answer, or not within 10 s, or too many questions and answers are on \
         their way.",
    ),
    (
        "431",
        "The request's head is longer than 64 KiB, or has more than 100 fields. Told without a \
         body.",
    ),
];

/// Adds what the routes say to a description of their handlers.
pub(super) struct FromRoutes;

impl Modify for FromRoutes {
    fn modify(&self, api: &mut OpenApi) {
        let components = api.components.get_or_insert_with(Components::new);
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(TOKEN));
        components.add_security_scheme("token", SecurityScheme::Http(token.build()));
        for (status, about) in ANSWERS {
            components.responses.insert(status.to_owned(), answer(status, about).into());
        }
        for route in &ROUTES {
            let item = api.paths.paths.get_mut(&route.described());
            let operations = item.into_iter().flat_map(|item| [&mut item.get, &mut item.post]);
            operations.flatten().for_each(|operation| add(operation, route));
        }
    }
}

/// Adds what `route` says to the operation at its path.
fn add(operation: &mut Operation, route: &Route) {
    // Modules are no chapters.
    operation.tags = None;
    if route.open {
        operation.security = Some(Vec::new());
    }
    let is_sent = operation.request_body.is_some();
    for (status, _about) in ANSWERS {
        let may_be = match status {
            "431" => true,
            "408" | "409" | "413" | "415" => is_sent,
            "404" => route.path.contains('{') || route.path == "/api/v1/log/checkpoint",
            _ => !route.open,
        };
        if may_be {
            let answer = Ref::from_response_name(status).into();
            operation.responses.responses.insert(status.to_owned(), answer);
        }
    }
}

/// The answer of a status that several paths give.
fn answer(status: &str, about: &str) -> Response {
    let answer = ResponseBuilder::new().description(about);
    if status == "431" {
        return answer.build();
    }
    let envelope = Ref::from_schema_name(Envelope::name());
    let content = ContentBuilder::new().schema(Some(envelope)).build();
    let answer = answer.content("application/json", content);
    if status != "503" {
        return answer.build();
    }
    let mut seconds = Header::new(Object::with_type(Type::Integer));
    seconds.description = Some("After how many seconds to ask again.".to_owned());
    answer.header("Retry-After", seconds).build()
}

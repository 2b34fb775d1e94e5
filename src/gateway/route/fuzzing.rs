//! Properties of the classification that hold for any target.

use http::Method;

use super::{Route, Target, classify};
use crate::provider::Provider;

/// A call as text, its method and its target with a space between, is refused, or is what its path
/// says to every server.
///
/// # Panics
/// Where that does not hold.
pub fn paths(call: &[u8]) {
    let Ok(call) = str::from_utf8(call) else { return };
    let Some((method, target)) = call.split_once(' ') else { return };
    let Ok(method) = &Method::from_bytes(method.as_bytes()) else { return };
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    for provider in Provider::ALL {
        for has_body in [false, true] {
            let target = Target { method, path, query, has_body };
            let is_read = [Method::GET, Method::HEAD].contains(method);
            match classify(provider, &[], target) {
                Ok(Route::Passthrough) if is_read => {
                    assert!(!has_body, "{call:?}");
                }
                Ok(Route::Passthrough) => {
                    assert!(is_plain(path) && !hides_deployments(path), "{call:?}");
                }
                Ok(Route::ReadDeployment { deployment_id }) => {
                    assert!(method == Method::GET && !has_body, "{call:?}");
                    assert_eq!(path, format!("{}/deployments/{deployment_id}", provider.base_path));
                }
                Ok(Route::Governed { operation, deployment_id }) => {
                    let id = deployment_id.map_or(String::new(), |id| format!("/{id}"));
                    let verb = path.rsplit('/').next().filter(|verb| *verb == operation.name());
                    let verbs = [String::new(), format!("/{}", verb.unwrap_or_default())];
                    let whole = |verb| format!("{}/deployments{id}{verb}", provider.base_path);
                    assert!(!is_read && is_plain(path), "{call:?}");
                    assert!(verbs.map(whole).contains(&path.to_owned()), "{call:?}");
                }
                Err(refusal) => {
                    assert!(refusal.status.is_client_error(), "{call:?}");
                    assert!(!refusal.message.chars().any(char::is_control), "{call:?}");
                    let plain = is_plain(path) && query.is_none() && path.len() <= 16 << 10;
                    let plain = plain && !(is_read && has_body);
                    let foreign = plain && !path.to_lowercase().contains("deployments");
                    assert!(!foreign, "{call:?} is none of ours");
                }
            }
        }
    }
}

/// Whether a segment may come to be `deployments` at a server that decodes, ignores case, takes a
/// backslash for a slash, or cuts parameters off.
fn hides_deployments(path: &str) -> bool {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..4 {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let mut segments = text.split(['/', '\\']);
        if segments.any(|segment| segment.split(';').next() == Some("deployments")) {
            return true;
        }
        bytes = decoded(&bytes);
    }
    false
}

/// Undoes percent-encoding once.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::new();
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = after;
        match after {
            [high, low, after @ ..] if *first == b'%' => match digit(high).zip(digit(low)) {
                Some((high, low)) => {
                    decoded.push(high * 16 + low);
                    rest = after;
                }
                None => decoded.push(*first),
            },
            _ => decoded.push(*first),
        }
    }
    decoded
}

/// Whether no server can read the path in another way than it is written.
fn is_plain(path: &str) -> bool {
    let segments = path.strip_prefix('/').map(|rest| rest.split('/').collect::<Vec<_>>());
    path == "/"
        || segments.is_some_and(|segments| {
            segments.iter().all(|segment| {
                let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
                segment.chars().all(plain) && segment.contains(|c| c != '.')
            })
        })
}

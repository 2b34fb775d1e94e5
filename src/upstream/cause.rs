//! Why upstream gave no answer, as operators read it: where, every cause, and what may help.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::CertificateError::UnknownIssuer;
use rustls::InvalidMessage::InvalidContentType;

use super::endpoint::Dialer;
use super::tunnel::ProxyError;
use crate::base::visible::chain;
use crate::config::Origin;

/// An error of a call to upstream, as one text.
#[derive(Debug)]
pub(crate) struct Cause<'a> {
    origin: &'a Origin,
    error: &'a (dyn Error + 'static),
}

impl Dialer {
    /// The error as operators read it.
    pub(crate) fn cause<'a>(&'a self, error: &'a (dyn Error + 'static)) -> Cause<'a> {
        let mut causes = std::iter::successors(Some(error), |&error| error.source());
        let by_proxy = causes.any(<dyn Error + 'static>::is::<ProxyError>);
        let origin = if by_proxy { self.first_hop() } else { self.origin() };
        Cause { origin, error }
    }
}

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { host, port, .. } = self.origin;
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{open}{host}{close}:{port}: {}", chain(self.error))?;
        match self.fix() {
            Some(fix) => write!(f, ": {fix}"),
            None => Ok(()),
        }
    }
}

impl Cause<'_> {
    /// The likely fix, where the cause is one of a wrong `[upstream]`.
    fn fix(&self) -> Option<&'static str> {
        let mut causes = std::iter::successors(Some(self.error), |&error| error.source());
        causes.find_map(|error| match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(UnknownIssuer)) => Some(
                "if an authority of your own has signed it, name the file of that authority's \
                 certificate in upstream.ca_file",
            ),
            Some(rustls::Error::InvalidMessage(InvalidContentType)) => {
                Some("no TLS is spoken there: see whether upstream.url has to begin with http://")
            }
            Some(_) => None,
            None => {
                let garbled = error.downcast_ref().is_some_and(hyper::Error::is_parse);
                (garbled && !self.origin.tls).then_some(
                    "what came is not HTTP: see whether upstream.url has to begin with https://",
                )
            }
        })
    }
}

/// The error of TLS that an error of the socket holds.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

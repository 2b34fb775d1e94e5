//! A document of an issuer, kept for a while: fetched once for all who wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, timeout};

use super::error::OidcError;
use crate::base::clock::Timestamp;

/// How long an issuer that failed is not asked again, so that who begins logins over and over does
/// not have it asked as often.
const REST: Duration = Duration::from_secs(3);

/// How long one waits for a document that somebody else has asked for.
const SHARED_WAIT: Duration = Duration::from_secs(2);

/// A document, as far as it is known.
#[derive(Debug)]
pub(super) struct Kept<T>(Arc<Mutex<Known<T>>>);

#[derive(Debug)]
struct Known<T> {
    document: Option<(Arc<T>, Timestamp)>,
    failed_at: Option<Timestamp>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Known { document: None, failed_at: None })))
    }
}

impl<T: Send + Sync + 'static> Kept<T> {
    /// The document, read at most so long ago, else what `fetch` brings. A fetch goes on where
    /// nobody waits for it any more: what comes of it holds for the next one.
    pub(super) async fn get(
        &self,
        (now, age_max): (Timestamp, Duration),
        fetch: impl Future<Output = Result<T, OidcError>> + Send + 'static,
    ) -> Result<Arc<T>, OidcError> {
        let came = Instant::now();
        let known = timeout(SHARED_WAIT, Arc::clone(&self.0).lock_owned()).await;
        let known = known.map_err(|_elapsed| OidcError::Slow)?;
        let now = now.plus(came.elapsed());
        if let Some((document, read_at)) = &known.document
            && is_within(*read_at, now, age_max)
        {
            return Ok(Arc::clone(document));
        }
        // Who came while it failed may have come before its end, by a few milliseconds.
        if known.failed_at.is_some_and(|at| is_within(at, now.plus(REST), REST * 2)) {
            return Err(OidcError::Resting);
        }
        let fetched = tokio::spawn(fetched(known, now, fetch)).await;
        fetched.map_err(|_broke_off| OidcError::Resting)?
    }
}

/// Fetches a document, and keeps it, or that it failed.
async fn fetched<T>(
    mut known: OwnedMutexGuard<Known<T>>,
    now: Timestamp,
    fetch: impl Future<Output = Result<T, OidcError>>,
) -> Result<Arc<T>, OidcError> {
    let begun = Instant::now();
    match fetch.await {
        Ok(document) => {
            let document = Arc::new(document);
            *known = Known { document: Some((Arc::clone(&document), now)), failed_at: None };
            Ok(document)
        }
        Err(error) => {
            // From its end on: to fail may have taken longer than the rest.
            known.failed_at = Some(now.plus(begun.elapsed()));
            Err(error)
        }
    }
}

fn is_within(at: Timestamp, now: Timestamp, age_max: Duration) -> bool {
    at <= now && now < at.plus(age_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_781_427_491_123);
    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn a_document_is_fetched_again_once_it_is_old() {
        let kept = Kept::default();
        for (seconds, fetched, expected) in [(0, 1, 1), (3_599, 2, 1), (3_600, 3, 3), (3_600, 4, 3)]
        {
            let now = NOW.plus(Duration::from_secs(seconds));
            let found = kept.get((now, HOUR), async move { Ok(fetched) }).await;
            assert_eq!(*found.unwrap(), expected, "{seconds}");
        }
    }

    #[tokio::test]
    async fn one_that_hangs_is_asked_for_once_and_rests_from_its_end_on() {
        let kept = Arc::new(Kept::default());
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let hanging = async move {
            let _ended = ended.await;
            Err::<u8, _>(OidcError::Busy)
        };
        let (first, begun) = (Arc::clone(&kept), Instant::now());
        let first = tokio::spawn(async move { first.get((NOW, HOUR), hanging).await });
        while kept.0.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        // Those who come meanwhile wait a moment, and ask for nothing.
        let second = kept.get((NOW, HOUR), async { panic!("it is asked for twice") }).await;
        assert!(matches!(second, Err(OidcError::Slow)), "{second:?}");
        // Who asked goes, and the fetch goes on.
        first.abort();
        assert!(kept.0.try_lock().is_err());
        let later = NOW.plus(begun.elapsed());
        let (waits, fails) =
            tokio::join!(kept.get((later, HOUR), async { panic!("it rests") }), async move {
                end.send(()).is_ok()
            },);
        assert!(fails && matches!(waits, Err(OidcError::Resting)), "{waits:?}");
        let again = kept.get((later.plus(REST * 2), HOUR), async { Err(OidcError::Busy) }).await;
        assert!(matches!(again, Err(OidcError::Busy)), "{again:?}");
    }
}

//! Credentials that are kept, and renewed before they expire.
//!
//! One renewal is under way at a time. Whoever needs it waits for it together with the others, and if all of them go
//! away the renewal goes away too: nothing is spawned. While the old credentials are still valid, only the request that
//! came first waits for the new ones, and a renewal that fails is tried again later.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};

/// How long before they expire credentials are renewed: time for a few attempts if the issuer is slow or down.
const MARGIN: Duration = Duration::from_secs(300);

/// How long after a renewal that failed the next one is tried, while the old credentials are valid.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Credentials as their issuer gave them.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) credential: Arc<AwsCredential>,
    /// When they expire, if they do.
    pub(super) expires: Option<SystemTime>,
}

/// Asks an issuer for credentials.
#[async_trait]
pub(super) trait Issuer: fmt::Debug + Send + Sync + 'static {
    async fn issue(&self) -> Result<Issued>;
}

type Answer = BoxFuture<'static, Result<Issued, Arc<Error>>>;

/// An issuer with a memory.
#[derive(Debug)]
pub(super) struct Cached(Arc<Inner>);

struct Inner {
    issuer: Box<dyn Issuer>,
    clock: fn() -> SystemTime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Kept>,
    renewal: Option<WeakShared<Answer>>,
}

struct Kept {
    issued: Issued,
    /// When to renew; never, if they do not expire.
    renew_at: Option<SystemTime>,
}

impl Kept {
    fn is_fresh(&self, now: SystemTime) -> bool {
        self.renew_at.is_none_or(|renew_at| now < renew_at)
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        self.issued.expires.is_none_or(|expires| now < expires)
    }
}

impl Cached {
    pub(super) fn new(issuer: impl Issuer) -> Self {
        Self::with_clock(issuer, SystemTime::now)
    }

    fn with_clock(issuer: impl Issuer, clock: fn() -> SystemTime) -> Self {
        Self(Arc::new(Inner { issuer: Box::new(issuer), clock, state: Mutex::default() }))
    }

    async fn get(&self) -> Result<Arc<AwsCredential>, Arc<Error>> {
        let renewal = {
            let mut state = self.0.state.lock();
            let now = (self.0.clock)();
            let under_way = state.renewal.as_ref().and_then(WeakShared::upgrade);
            match &state.current {
                Some(kept) if kept.is_fresh(now) || (kept.is_valid(now) && under_way.is_some()) => {
                    return Ok(kept.issued.credential.clone());
                }
                _ => {}
            }
            under_way.unwrap_or_else(|| {
                let renewal: Shared<Answer> = self.0.clone().renew().boxed().shared();
                state.renewal = renewal.downgrade();
                renewal
            })
        };
        renewal.await.map(|issued| issued.credential)
    }
}

impl Inner {
    /// New credentials, or the old ones if there are none to be had and the old are still valid.
    async fn renew(self: Arc<Self>) -> Result<Issued, Arc<Error>> {
        let result = self.issuer.issue().await;
        let mut state = self.state.lock();
        let now = (self.clock)();
        state.renewal = None;
        match result {
            Ok(issued) => {
                let renew_at = issued.expires.map(|expires| renew_at(now, expires));
                state.current = Some(Kept { issued: issued.clone(), renew_at });
                Ok(issued)
            }
            Err(error) => match &mut state.current {
                Some(kept) if kept.is_valid(now) => {
                    tracing::warn!(%error, "the credentials could not be renewed; the old ones are still valid");
                    kept.renew_at = Some(now + RETRY_AFTER);
                    Ok(kept.issued.clone())
                }
                _ => Err(Arc::new(error)),
            },
        }
    }
}

/// A margin before they expire, or half way there if they are short-lived.
fn renew_at(now: SystemTime, expires: SystemTime) -> SystemTime {
    let life = expires.duration_since(now).unwrap_or_default();
    now + if life > MARGIN * 2 { life - MARGIN } else { life / 2 }
}

#[async_trait]
impl CredentialProvider for Cached {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.get().await.map_err(|error| {
            let kind = error.kind();
            let source = Box::new(SharedError(error));
            match kind {
                ErrorKind::Unauthenticated => {
                    object_store::Error::Unauthenticated { path: "credentials".into(), source }
                }
                _ => object_store::Error::Generic { store: "credentials", source },
            }
        })
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cached").field(&self.issuer).finish()
    }
}

/// One error that several requests ended with.
#[derive(Debug)]
struct SharedError(Arc<Error>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for SharedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::error::Operation;

    /// Answers by script, each answer when the test lets it go.
    #[derive(Debug, Clone)]
    struct Script(Arc<ScriptState>);

    #[derive(Debug)]
    struct ScriptState {
        answers: Mutex<VecDeque<Option<u64>>>,
        asked: AtomicUsize,
        gate: Semaphore,
    }

    impl Script {
        /// `Some` gives credentials that expire at this second, `None` an error.
        fn new(answers: impl IntoIterator<Item = Option<u64>>) -> Self {
            Self(Arc::new(ScriptState {
                answers: Mutex::new(answers.into_iter().collect()),
                asked: AtomicUsize::new(0),
                gate: Semaphore::new(0),
            }))
        }

        fn asked(&self) -> usize {
            self.0.asked.load(Ordering::SeqCst)
        }

        fn let_go(&self, count: usize) {
            self.0.gate.add_permits(count);
        }
    }

    #[async_trait]
    impl Issuer for Script {
        async fn issue(&self) -> Result<Issued> {
            let number = self.0.asked.fetch_add(1, Ordering::SeqCst);
            self.0.gate.acquire().await.unwrap().forget();
            let answer = self.0.answers.lock().pop_front().expect("one question too many");
            let credential = AwsCredential { key_id: number.to_string(), secret_key: "hunter2".into(), token: None };
            match answer {
                Some(second) => Ok(Issued { credential: Arc::new(credential), expires: Some(at(second)) }),
                None => Err(Error::new(ErrorKind::Unauthenticated, Operation::Request, "x").with_message("no")),
            }
        }
    }

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    /// A clock for one test: each has a static of its own.
    macro_rules! clock {
        ($name:ident) => {
            static $name: AtomicU64 = AtomicU64::new(0);
            fn now() -> SystemTime {
                at($name.load(Ordering::SeqCst))
            }
        };
    }

    async fn id(cached: &Cached) -> String {
        cached.get().await.unwrap().key_id.clone()
    }

    #[tokio::test]
    async fn many_requests_ask_once() {
        clock!(NOW);
        let script = Script::new([Some(3600)]);
        let cached = Cached::with_clock(script.clone(), now);
        let mut wait = join_all((0..32).map(|_| id(&cached)));
        assert!(futures::poll!(&mut wait).is_pending());
        script.let_go(1);
        assert_eq!(wait.await, vec!["0".to_owned(); 32]);
        assert_eq!((id(&cached).await, script.asked()), ("0".to_owned(), 1));
        NOW.store(3600 - 301, Ordering::SeqCst);
        assert_eq!((id(&cached).await, script.asked()), ("0".to_owned(), 1));
    }

    #[tokio::test]
    async fn they_are_renewed_before_they_expire_and_nobody_else_waits() {
        clock!(NOW);
        let script = Script::new([Some(3600), Some(7200)]);
        let cached = Cached::with_clock(script.clone(), now);
        script.let_go(1);
        assert_eq!(id(&cached).await, "0");
        NOW.store(3600 - 300, Ordering::SeqCst);
        let mut first = Box::pin(id(&cached));
        assert!(futures::poll!(&mut first).is_pending());
        assert_eq!(id(&cached).await, "0");
        script.let_go(1);
        assert_eq!((first.await, id(&cached).await, script.asked()), ("1".into(), "1".into(), 2));
    }

    #[tokio::test]
    async fn a_renewal_that_fails_leaves_the_old_ones_while_they_are_valid() {
        clock!(NOW);
        let script = Script::new([Some(3600), None, None, Some(9999)]);
        script.let_go(4);
        let cached = Cached::with_clock(script.clone(), now);
        assert_eq!(id(&cached).await, "0");
        NOW.store(3400, Ordering::SeqCst);
        assert_eq!((id(&cached).await, id(&cached).await, script.asked()), ("0".into(), "0".into(), 2));
        NOW.store(3600, Ordering::SeqCst);
        assert_eq!(cached.get().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
        assert_eq!((id(&cached).await, script.asked()), ("3".into(), 4));
    }

    #[tokio::test]
    async fn all_that_wait_get_the_same_error_and_the_next_asks_again() {
        clock!(NOW);
        let script = Script::new([None, Some(3600)]);
        let cached = Cached::with_clock(script.clone(), now);
        let mut wait = join_all((0..8).map(|_| cached.get_credential()));
        assert!(futures::poll!(&mut wait).is_pending());
        script.let_go(1);
        for result in wait.await {
            let error = Error::from_store(result.unwrap_err(), Operation::Get, "s3://b/k");
            assert_eq!(error.to_string(), "get s3://b/k: not authenticated: no");
        }
        assert_eq!(script.asked(), 1);
        script.let_go(1);
        assert_eq!(id(&cached).await, "1");
        NOW.store(0, Ordering::SeqCst);
    }

    #[tokio::test]
    async fn a_renewal_that_nobody_waits_for_ends() {
        clock!(NOW);
        let script = Script::new([Some(3600)]);
        let cached = Cached::with_clock(script.clone(), now);
        let mut first = Box::pin(id(&cached));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        script.let_go(1);
        assert_eq!((id(&cached).await, script.asked()), ("1".into(), 2));
        NOW.store(0, Ordering::SeqCst);
    }

    #[test]
    fn short_lived_credentials_are_renewed_half_way() {
        assert_eq!(renew_at(at(1000), at(1100)), at(1050));
        assert_eq!(renew_at(at(1000), at(4600)), at(4300));
        assert_eq!(renew_at(at(1000), at(900)), at(1000));
    }
}

//! What is logged at any level holds no secret.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

/// Keeps every field of every event and span.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = writeln!(self.0.lock(), "{field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[tokio::test]
async fn no_secret_is_logged() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    // Nobody listens there, so that every attempt and its repetition is logged, as are token requests that fail.
    let key = "aHVudGVyMg==";
    let principal = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "hunter2")];
    let nowhere = [("AZURE_AUTHORITY_HOST", "http://127.0.0.1:1")];
    let sources: [&[(&str, &str)]; 3] = [
        &[("AZURE_STORAGE_SAS_TOKEN", "sv=2023-11-03&sig=hunter2")],
        &[("AZURE_STORAGE_KEY", key)],
        &[principal[0], principal[1], principal[2], nowhere[0]],
    ];
    for variables in sources {
        let mut setup = Setup::with(variables);
        setup.config.endpoint_url = Some("http://127.0.0.1:1/acc".into());
        setup.config.connect_timeout = Duration::from_millis(300);
        let store = setup.open("az://acc/box").unwrap();
        assert!(store.objects.get(&path("k")).await.is_err());
        assert!(store.objects.copy(&path("k"), &path("l")).await.is_err());
        assert!(entries(&*store.lister, ListRequest::default()).await.is_err());
    }
    let text = log.0.lock().clone();
    assert!(text.contains("shared access signature") && text.contains("127.0.0.1:1"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains(key), "{text}");
}

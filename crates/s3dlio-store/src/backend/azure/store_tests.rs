use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use http::Response;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use object_store::{ObjectStoreExt, RetryConfig};
use parking_lot::Mutex;

use super::*;
use crate::UnifiedLoaderConfig;
use crate::backend::token::{Secret, Unsigned};
use crate::transport::Transport;

/// Keeps what it is asked and answers each request as told.
#[derive(Debug, Clone)]
struct Server {
    seen: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<Response<&'static str>>>>,
}

impl Server {
    fn new(answers: impl IntoIterator<Item = Response<&'static str>>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self { seen: Arc::default(), answers: Arc::new(Mutex::new(answers)) }
    }

    fn store(&self) -> AzureStore {
        let transport = Transport::new(&UnifiedLoaderConfig::default()).unwrap();
        let source = super::super::settings::Source::SharedAccessSignature(Secret::new("sv=1&sig=s%2Fs"));
        let credentials = Arc::new(Credentials::new(&source, &transport).unwrap());
        let inner = MicrosoftAzureBuilder::new()
            .with_account("acc")
            .with_container_name("box")
            .with_endpoint("http://host/acc".into())
            .with_skip_signature(true)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(self.clone())
            .build()
            .unwrap();
        AzureStore {
            inner,
            sender: RequestSender::new(HttpClient::new(self.clone()), Arc::new(Unsigned)),
            credentials,
            container_url: "http://host/acc/box".parse().unwrap(),
            name: "az://acc/box".into(),
        }
    }
}

impl HttpConnector for Server {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Server {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let source =
            request.headers().get("x-ms-copy-source").map(|source| format!(" from {}", source.to_str().unwrap()));
        let body = request.body().as_bytes().map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
        let deletes: Vec<_> =
            body.lines().filter(|line| line.starts_with("DELETE ")).map(|line| format!("; {line}")).collect();
        let line =
            format!("{} {}{}{}", request.method(), request.uri().path(), source.unwrap_or_default(), deletes.concat());
        self.seen.lock().push(line);
        let answer = self.answers.lock().pop().expect("one request too many");
        Ok(answer.map(|body| HttpResponseBody::from(body.to_owned())))
    }
}

fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> Response<&'static str> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body("").unwrap()
}

const BLOB: [(&str, &str); 3] =
    [("etag", "\"1\""), ("last-modified", "Wed, 09 Sep 2009 09:20:03 GMT"), ("content-length", "0")];

fn path(key: &str) -> Path {
    key.split('/').fold(Path::ROOT, join)
}

#[tokio::test]
async fn the_slash_at_the_end_of_a_key_is_kept() {
    let batch = "--b\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\nHTTP/1.1 202 Accepted\r\n\r\n--b--\r\n";
    let deleted = Response::builder().header("content-type", "multipart/mixed; boundary=b").body(batch).unwrap();
    let server = Server::new([answer(201, &BLOB), answer(200, &BLOB), deleted]);
    let store = server.store();
    let marker = path("dir//");
    store.put(&marker, "".into()).await.unwrap();
    assert_eq!(store.head(&marker).await.unwrap().location, marker);
    let deleted: Vec<_> =
        store.delete_stream(futures::stream::iter([Ok(marker.clone())]).boxed()).try_collect().await.unwrap();
    assert_eq!(deleted, [marker]);
    assert_eq!(
        *server.seen.lock(),
        ["PUT /acc/box/dir//", "HEAD /acc/box/dir//", "POST /acc/box; DELETE /acc/box/dir// HTTP/1.1"]
    );
}

#[test]
fn a_path_survives_the_way_to_the_wire_and_back() {
    for key in ["a", "dir/", "a//b", "a//", "a/b///", "%2F", "ü/"] {
        let path = path(key);
        assert_eq!(path.as_ref(), key);
        assert_eq!(unwire(wire(&path)), path, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_waited_for_and_names_its_source_with_the_signature() {
    let status = |status| answer(200, &[("x-ms-copy-status", status)]);
    let server = Server::new([answer(202, &[("x-ms-copy-status", "pending")]), status("pending"), status("success")]);
    server.store().copy_opts(&path("a b"), &path("c/"), CopyOptions::default()).await.unwrap();
    assert_eq!(
        *server.seen.lock(),
        ["PUT /acc/box/c/ from http://host/acc/box/a%20b?sv=1&sig=s%2Fs", "HEAD /acc/box/c/", "HEAD /acc/box/c/",]
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_the_service_ends_is_an_error() {
    let failed = [("x-ms-copy-status", "failed"), ("x-ms-copy-status-description", "500 InternalServerError")];
    let server = Server::new([answer(202, &[("x-ms-copy-status", "pending")]), answer(200, &failed)]);
    let error = server.store().copy(&path("a"), &path("b"), CopyMode::Overwrite).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert!(error.to_string().contains("failed: 500 InternalServerError"), "{error}");
}

#[tokio::test]
async fn a_missing_source_and_an_existing_target_are_told_apart() {
    let store = Server::new([answer(404, &[]), answer(412, &[]), answer(409, &[])]).store();
    let kind = async |mode| store.copy(&path("a"), &path("b"), mode).await.unwrap_err();
    let missing = kind(CopyMode::Create).await;
    assert_eq!((missing.kind(), missing.uri()), (ErrorKind::NotFound, "az://acc/box/a"));
    assert_eq!(kind(CopyMode::Create).await.kind(), ErrorKind::AlreadyExists);
    assert_eq!(kind(CopyMode::Create).await.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", Server::new([]).store());
    assert!(!shown.contains("s%2Fs") && !shown.contains("s/s"), "{shown}");
}

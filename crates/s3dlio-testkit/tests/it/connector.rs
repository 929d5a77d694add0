//! The least client that can carry object_store's requests: a connection per request, no TLS, no pool.

use std::error::Error;

use async_trait::async_trait;
use http::header::HOST;
use http::{HeaderValue, Uri};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use tokio::net::TcpStream;

/// Makes [`PlainService`]s.
#[derive(Debug, Default)]
pub(crate) struct PlainConnector;

impl HttpConnector for PlainConnector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(PlainService))
    }
}

/// Sends each request over a connection of its own.
#[derive(Debug)]
struct PlainService;

#[async_trait]
impl HttpService for PlainService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let authority = request.uri().authority().expect("object_store sends absolute URIs").clone();
        let stream = TcpStream::connect(authority.as_str()).await.map_err(error(HttpErrorKind::Connect))?;
        stream.set_nodelay(true).map_err(error(HttpErrorKind::Connect))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(error(HttpErrorKind::Connect))?;
        tokio::spawn(connection);

        let (mut parts, body) = request.into_parts();
        parts.uri = Uri::from(parts.uri.path_and_query().expect("an absolute URI has a path").clone());
        parts.headers.insert(HOST, HeaderValue::from_str(authority.as_str()).expect("an authority is a header value"));
        let request = http::Request::from_parts(parts, body);
        let response = sender.send_request(request).await.map_err(error(HttpErrorKind::Request))?;
        Ok(response.map(|body| HttpResponseBody::new(body.map_err(error(HttpErrorKind::Interrupted)))))
    }
}

fn error<E: Error + Send + Sync + 'static>(kind: HttpErrorKind) -> impl Fn(E) -> HttpError {
    move |error| HttpError::new(kind, error)
}

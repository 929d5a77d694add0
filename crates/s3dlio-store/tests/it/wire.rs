//! The transport against servers that speak HTTP in their own ways, or not at all. Each server is a thread per
//! connection that does what the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use s3dlio_store::transport::Transport;
use s3dlio_store::{Config, Scheme};
use s3dlio_testkit::data;
use s3dlio_testkit::process::eventually_async;

/// A server that gives every connection, with its number, to a thread.
struct Script(SocketAddr);

impl Script {
    fn start(serve: impl Fn(Peer, usize) + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, serve)
    }

    fn start_at(address: Ipv4Addr, serve: impl Fn(Peer, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for (number, socket) in listener.incoming().enumerate() {
                let (Ok(socket), serve) = (socket, serve.clone()) else { return };
                std::thread::spawn(move || serve(Peer::new(socket), number));
            }
        });
        Self(address)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/object", self.0.port())
    }
}

/// The server's end of a connection.
struct Peer {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Peer {
    fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(socket.try_clone().unwrap()), writer: socket }
    }

    /// The first line of the next request, whose head is read; empty when the client has closed.
    fn head(&mut self) -> String {
        let mut first = String::new();
        let _ = self.reader.read_line(&mut first);
        let mut line = first.clone();
        while !matches!(line.as_str(), "" | "\r\n") {
            line.clear();
            let _ = self.reader.read_line(&mut line);
        }
        first.trim_end().to_owned()
    }

    fn say(&mut self, text: &str) {
        let _ = self.writer.write_all(text.as_bytes());
    }

    /// Reads until the client has closed.
    fn wait_for_the_end(&mut self) {
        let _ = std::io::copy(&mut self.reader, &mut std::io::sink());
    }
}

fn transport_with(settings: &[(&str, &str)]) -> Transport {
    let mut config = Config::builder();
    for (key, value) in settings {
        config = config.set(*key, *value);
    }
    Transport::new(&config.build().unwrap().for_scheme(Scheme::S3)).unwrap()
}

fn transport() -> Transport {
    transport_with(&[])
}

fn request(method: Method, url: &str, body: Bytes) -> HttpRequest {
    let mut request = HttpRequest::new(HttpRequestBody::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = url.parse().unwrap();
    request
}

/// What an exchange brings: the status and the body, or all that is said about the failure.
type Outcome = Result<(StatusCode, Bytes), String>;

async fn send(client: &HttpClient, request: HttpRequest) -> Outcome {
    let said = |error: object_store::client::HttpError| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    };
    let response = client.execute(request).await.map_err(said)?;
    let status = response.status();
    Ok((status, response.into_body().bytes().await.map_err(said)?))
}

async fn get(transport: &Transport, url: &str) -> Outcome {
    send(&transport.http_client(), request(Method::GET, url, Bytes::new())).await
}

async fn put(transport: &Transport, url: &str, body: Bytes) -> Outcome {
    send(&transport.http_client(), request(Method::PUT, url, body)).await
}

const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>not for you</Message></Error>";

fn denied() -> String {
    format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n", DENIED.len())
}

#[tokio::test]
async fn an_upload_that_is_refused_in_the_middle_says_why() {
    let body = data::bytes(1, 20 << 20);
    // In good order: the answer, an end of sending, and what still comes is read. And as many servers do it: by closing.
    for in_good_order in [true, false] {
        let server = Script::start(move |mut peer, _| {
            peer.head();
            let _ = peer.reader.read_exact(&mut vec![0; 100_000]);
            peer.say(&format!("{}Connection: close\r\n\r\n{DENIED}", denied()));
            if in_good_order {
                let _ = peer.writer.shutdown(Shutdown::Write);
                peer.wait_for_the_end();
            }
        });
        let outcome = put(&transport(), &server.url(), body.clone()).await;
        assert_eq!(outcome, Ok((StatusCode::FORBIDDEN, "AccessDenied: not for you".into())), "{in_good_order}");
    }
}

#[tokio::test]
async fn a_connection_whose_upload_was_not_taken_is_not_used_again() {
    let server = Script::start(|mut peer, number| {
        peer.head();
        if number == 0 {
            // Answers at once, keeps the connection, and never reads on.
            peer.say(&format!("{}\r\n{DENIED}", denied()));
            std::thread::park();
        }
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.wait_for_the_end();
    });
    let transport = transport();
    let outcome = put(&transport, &server.url(), data::bytes(1, 20 << 20)).await;
    assert_eq!(outcome.unwrap().0, StatusCode::FORBIDDEN);
    let started = Instant::now();
    assert_eq!(get(&transport, &server.url()).await, Ok((StatusCode::OK, "ok".into())));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn connections_that_were_closed_while_idle_are_replaced() {
    let at_once = 40;
    let barrier = Arc::new(Barrier::new(at_once));
    let closed = Arc::new(tokio::sync::Semaphore::new(0));
    let closing = closed.clone();
    let server = Script::start(move |mut peer, number| {
        peer.head();
        if number < at_once {
            barrier.wait();
        }
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        if number >= at_once {
            peer.wait_for_the_end();
        }
        drop(peer);
        closing.add_permits(1);
    });
    let transport = transport();
    for method in [Method::GET, Method::POST] {
        let requests = (0..at_once).map(|_| {
            let (transport, request) = (transport.clone(), request(method.clone(), &server.url(), Bytes::new()));
            async move { send(&transport.http_client(), request).await }
        });
        for outcome in futures::future::join_all(requests).await {
            assert_eq!(outcome, Ok((StatusCode::OK, "ok".into())), "{method}");
        }
        if method == Method::GET {
            // A POST that goes out just as its connection is closed may have been acted on, and is not repeated.
            let _ = closed.acquire_many(at_once as u32).await.unwrap();
        }
    }
    assert_eq!(transport.statistics().retries, 0);
}

#[tokio::test]
async fn answers_end_where_they_say() {
    let answers: [(&str, StatusCode, &str); 9] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody", StatusCode::OK, "body"),
        ("HTTP/1.0 200 OK\r\n\r\nto the end", StatusCode::OK, "to the end"),
        ("HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody", StatusCode::OK, "body"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
            StatusCode::OK,
            "body",
        ),
        // RFC 9112, 6.3: the chunks win.
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            StatusCode::OK,
            "body",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", StatusCode::OK, "body"),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
            StatusCode::OK,
            "body",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", StatusCode::NO_CONTENT, ""),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", StatusCode::NOT_MODIFIED, ""),
    ];
    for (answer, status, body) in answers {
        let server = Script::start(move |mut peer, _| {
            let keeps = answer.starts_with("HTTP/1.1") && !answer.contains("Connection: close");
            while !peer.head().is_empty() {
                peer.say(answer);
                if !keeps {
                    return;
                }
            }
        });
        let transport = transport();
        for _ in 0..3 {
            assert_eq!(get(&transport, &server.url()).await, Ok((status, body.into())), "{answer}");
        }
        let keeps = answer.starts_with("HTTP/1.1") && !answer.contains("Connection: close");
        assert_eq!(transport.statistics().connections_opened, if keeps { 1 } else { 3 }, "{answer}");
    }
}

#[tokio::test]
async fn a_head_has_no_body_whatever_its_length_says() {
    let server = Script::start(|mut peer, _| {
        while !peer.head().is_empty() {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        }
    });
    let transport = transport();
    for _ in 0..3 {
        let head = request(Method::HEAD, &server.url(), Bytes::new());
        assert_eq!(send(&transport.http_client(), head).await, Ok((StatusCode::OK, Bytes::new())));
    }
    assert_eq!(transport.statistics().connections_opened, 1);
}

/// A body that is longer than it says must not answer the request that follows.
#[tokio::test]
async fn bytes_behind_an_answer_are_nobodys_answer() {
    let server = Script::start(|mut peer, _| {
        while !peer.head().is_empty() {
            peer.say(
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrueHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfalse",
            );
        }
    });
    let transport = transport();
    for _ in 0..5 {
        assert_eq!(get(&transport, &server.url()).await, Ok((StatusCode::OK, "true".into())));
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_error_at_once() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Same: header\r\n".repeat(100_000));
    let answers: [(&str, &str); 4] = [
        ("SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        ("\x15\x03\x01\x00\x02\x02\x46", "https://"),
        ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "not HTTP"),
        (&many, "not HTTP"),
    ];
    for (answer, expected) in answers {
        let text = answer.to_owned();
        let server = Script::start(move |mut peer, _| {
            peer.head();
            peer.say(&text);
            peer.wait_for_the_end();
        });
        let started = Instant::now();
        let error = get(&transport(), &server.url()).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(5));
        assert!(error.contains(expected), "{error}");
    }
}

/// Bytes keep coming, so that nothing is idle; but it is only an explanation.
#[tokio::test]
async fn an_error_that_is_explained_without_end_is_reported_without_it() {
    let server = Script::start(|mut peer, _| {
        peer.head();
        peer.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 10000\r\n\r\n");
        while peer.writer.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let started = Instant::now();
    let outcome = get(&transport(), &server.url()).await;
    assert_eq!(outcome, Ok((StatusCode::FORBIDDEN, Bytes::new())));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// A server that takes an upload slowly makes progress all the time.
#[tokio::test]
async fn a_slow_upload_is_not_idle() {
    let size = 24 << 20;
    let server = Script::start(move |mut peer, _| {
        peer.head();
        let (mut left, mut piece) = (size, vec![0; 512 << 10]);
        while left > 0 {
            let length = left.min(piece.len());
            peer.reader.read_exact(&mut piece[..length]).unwrap();
            left -= length;
            std::thread::sleep(Duration::from_millis(40));
        }
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let transport = transport_with(&[("idle_timeout", "800ms"), ("operation_deadline", "900ms")]);
    let started = Instant::now();
    let outcome = put(&transport, &server.url(), data::bytes(1, size)).await;
    assert_eq!(outcome, Ok((StatusCode::OK, "ok".into())));
    assert!(started.elapsed() > Duration::from_millis(900), "it took longer than either limit");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_fails_within_three_seconds() {
    let started = Instant::now();
    let error = get(&transport(), "http://no-such-host.invalid/object").await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(error.contains("no-such-host.invalid"), "{error}");
}

#[tokio::test]
async fn idle_connections_are_bounded_over_all_hosts() {
    let server = Script::start_at(Ipv4Addr::UNSPECIFIED, |mut peer, _| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.wait_for_the_end();
    });
    let transport = transport();
    for host in 0..300 {
        let url = format!("http://127.0.{}.{}:{}/", host / 200, host % 200 + 1, server.0.port());
        assert_eq!(get(&transport, &url).await, Ok((StatusCode::OK, "ok".into())));
    }
    assert_eq!(transport.statistics().connections_opened, 300);
    assert!(transport.statistics().connections_open <= 256, "{:?}", transport.statistics());
    let last = format!("http://127.0.1.100:{}/", server.0.port());
    let _ = get(&transport, &last).await;
}

#[tokio::test]
async fn an_address_in_an_error_has_no_query() {
    let server = Script::start(|mut peer, _| {
        peer.head();
        peer.say("HTTP/1.1 302 Found\r\nLocation: ftp://elsewhere/object?sig=secret\r\nContent-Length: 0\r\n\r\n");
    });
    let error = get(&transport(), &format!("{}?sig=secret", server.url())).await.unwrap_err();
    assert!(!error.contains("secret"), "{error}");
}

/// A conditional write that failed in a way that leaves open whether it was done is not repeated: the second would find
/// the first one's object.
#[tokio::test]
async fn a_conditional_write_is_not_repeated_after_a_500() {
    for (status, requests) in [(500, 1), (503, 8)] {
        let server = Script::start(move |mut peer, _| {
            while !peer.head().is_empty() {
                peer.say(&format!("HTTP/1.1 {status} Failed\r\nContent-Length: 0\r\n\r\n"));
            }
        });
        let transport = transport_with(&[("retry_initial_backoff", "1ms"), ("retry_max_backoff", "2ms")]);
        let mut write = request(Method::PUT, &server.url(), Bytes::new());
        write.headers_mut().insert("if-none-match", http::HeaderValue::from_static("*"));
        send(&transport.http_client(), write).await.unwrap_err();
        assert_eq!(transport.statistics().requests, requests, "{status}");
    }
}

#[tokio::test]
async fn dropping_a_transport_closes_what_is_idle() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let closed = std::sync::Mutex::new(closed);
    let server = Script::start(move |mut peer, _| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.wait_for_the_end();
        closed.lock().unwrap().send(()).unwrap();
    });
    let transport = transport();
    get(&transport, &server.url()).await.unwrap();
    drop(transport);
    assert!(eventually_async(Duration::from_secs(10), || is_closed.try_recv().is_ok()).await);
}

/// Between two `block_on` of a runtime without threads nobody looks at the sockets.
#[test]
fn a_connection_that_was_closed_while_the_program_paused_takes_no_request() {
    let (close, closing) = std::sync::mpsc::channel::<()>();
    let (closed, is_closed) = std::sync::mpsc::channel();
    let channels = std::sync::Mutex::new((closing, closed));
    let server = Script::start(move |mut peer, number| {
        peer.head();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        if number == 0 {
            let (closing, closed) = &*channels.lock().unwrap();
            closing.recv().unwrap();
            drop(peer);
            closed.send(()).unwrap();
        } else {
            peer.wait_for_the_end();
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let transport = transport();
    runtime.block_on(get(&transport, &server.url())).unwrap();
    close.send(()).unwrap();
    is_closed.recv().unwrap();
    let post = request(Method::POST, &server.url(), Bytes::new());
    let outcome = runtime.block_on(send(&transport.http_client(), post));
    assert_eq!(outcome, Ok((StatusCode::OK, "ok".into())));
    assert_eq!(transport.statistics().connections_opened, 2);
}

use std::collections::VecDeque;

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::client::{HttpClient, HttpError, HttpResponse, HttpService};
use parking_lot::Mutex;

use super::*;
use crate::backend::request::Sign;

/// Answers requests with prepared bodies and keeps the queries that it was asked.
#[derive(Debug, Clone, Default)]
struct Script(Arc<Mutex<(VecDeque<String>, Vec<String>)>>);

impl Script {
    fn new(bodies: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(Mutex::new((bodies.into_iter().collect(), Vec::new()))))
    }

    fn queries(&self) -> Vec<String> {
        self.0.lock().1.clone()
    }

    fn lister(&self) -> S3Listing {
        let sender = RequestSender::new(HttpClient::new(self.clone()), Arc::new(Unsigned));
        S3Listing::new(sender, "http://host/bucket", "s3://bucket")
    }

    async fn list(&self, request: ListRequest) -> Result<Vec<ListPage>> {
        self.lister().pages(request).try_collect().await
    }
}

#[async_trait]
impl HttpService for Script {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut script = self.0.lock();
        script.1.push(request.uri().query().unwrap_or_default().to_owned());
        let body = script.0.pop_front().expect("one request too many");
        Ok(HttpResponse::new(body.into()))
    }
}

#[derive(Debug)]
struct Unsigned;

#[async_trait]
impl Sign for Unsigned {
    async fn sign(&self, _request: &mut HttpRequest) -> object_store::Result<()> {
        Ok(())
    }
}

fn page(inner: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</ListBucketResult>"#
    )
}

fn object(key: &str) -> String {
    format!(
        "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag>\
         <Size>7</Size></Contents>"
    )
}

fn more(token: &str) -> String {
    format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
}

fn keys(pages: &[ListPage]) -> Vec<&str> {
    pages.iter().flat_map(|page| &page.objects).map(|object| object.key.as_str()).collect()
}

const URL: &str = "<EncodingType>url</EncodingType>";

#[tokio::test]
async fn an_object_is_read_with_its_properties() {
    let pages = Script::new([page(&object("a/b"))]).list(ListRequest::default()).await.unwrap();
    let entry = ObjectEntry {
        key: "a/b".into(),
        size: 7,
        last_modified: "2026-01-02T03:04:05Z".parse().unwrap(),
        e_tag: Some("\"e\"".into()),
    };
    assert_eq!(pages, [ListPage { objects: vec![entry], prefixes: vec![] }]);
}

#[tokio::test]
async fn encoded_keys_are_decoded() {
    let body = [("a%2Fb", "a/b"), ("a+b%2B", "a b+"), ("%01%0A", "\u{1}\n"), ("%E6%97%A5", "日"), ("%2541", "%41")];
    let script = Script::new([page(&format!("{URL}{}", body.map(|(written, _)| object(written)).concat()))]);
    assert_eq!(keys(&script.list(ListRequest::default()).await.unwrap()), body.map(|(_, key)| key));
}

#[tokio::test]
async fn keys_of_a_server_that_does_not_encode_are_taken_as_they_are() {
    let body = [("a%2Fb+", "a%2Fb+"), (" a ", " a "), ("&lt;&#x1;&#10;&gt;", "<\u{1}\n>"), ("a//./..", "a//./..")];
    let script = Script::new([page(&body.map(|(written, _)| object(written)).concat())]);
    assert_eq!(keys(&script.list(ListRequest::default()).await.unwrap()), body.map(|(_, key)| key));
}

#[tokio::test]
async fn keys_of_a_server_that_only_says_that_it_encodes_are_taken_as_they_are() {
    let listed = keys;
    for keys in [vec!["a b", "a+b"], vec!["%41", "%4"], vec!["a%2Fb", "ü"]] {
        let objects = keys.iter().map(|key| object(key)).collect::<String>();
        let script = Script::new([page(&format!("{URL}{objects}"))]);
        assert_eq!(listed(&script.list(ListRequest::default()).await.unwrap()), keys);
    }
}

#[tokio::test]
async fn names_that_the_server_did_not_fold_are_folded_once() {
    let prefixes = ["a/b/", "a/c/", "d/"].map(|p| format!("<CommonPrefixes><Prefix>{p}</Prefix></CommonPrefixes>"));
    let first = page(&format!("{}{}{}", object("a/k"), prefixes.concat(), more("t")));
    let script = Script::new([first, page(&format!("{}{}", object("d/x"), object("e")))]);
    let pages = script.list(ListRequest { delimiter: true, ..Default::default() }).await.unwrap();
    assert_eq!((&pages[0].prefixes[..], &pages[0].objects[..]), (&["a/".to_owned(), "d/".to_owned()][..], &[][..]));
    assert_eq!((&pages[1].prefixes[..], keys(&pages[1..])), (&[][..], vec!["e"]));
}

#[tokio::test]
async fn a_key_that_is_not_text_is_an_error_by_name_and_the_listing_goes_on() {
    let first = page(&format!("{URL}{}{}{}", object("%FF"), object("a"), more("t")));
    let script = Script::new([first, page(&object("b"))]);
    let items: Vec<_> = script.lister().pages(ListRequest::default()).collect().await;
    assert_eq!(items.len(), 3);
    assert_eq!(keys(&[items[0].as_ref().unwrap().clone()]), ["a"]);
    let error = items[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("%FF"), "{error}");
    assert_eq!(keys(&[items[2].as_ref().unwrap().clone()]), ["b"]);
}

#[tokio::test]
async fn every_part_of_a_request_is_asked_of_the_server() {
    let script = Script::new([page(&format!("{}{}", object("a b/c+2"), more("t+/="))), page("")]);
    let request = ListRequest {
        prefix: "a b/".into(),
        delimiter: true,
        start_after: Some("a b/c+1".into()),
        page_size: Some(5000),
    };
    script.list(request).await.unwrap();
    let rest = "delimiter=%2F&max-keys=1000&prefix=a%20b%2F";
    assert_eq!(
        script.queries(),
        [
            format!("list-type=2&encoding-type=url&{rest}&start-after=a%20b%2Fc%2B1"),
            format!("list-type=2&encoding-type=url&continuation-token=t%2B%2F%3D&{rest}"),
        ]
    );
}

#[tokio::test]
async fn a_page_is_requested_when_it_is_polled_for() {
    let script = Script::new([page(&format!("{}{}", object("a"), more("t"))), page(&object("b"))]);
    let mut pages = script.lister().pages(ListRequest::default());
    assert_eq!(script.queries().len(), 0);
    pages.try_next().await.unwrap().unwrap();
    assert_eq!(script.queries().len(), 1);
    pages.try_next().await.unwrap().unwrap();
    assert!(pages.try_next().await.unwrap().is_none());
    assert_eq!(script.queries().len(), 2);
}

#[tokio::test]
async fn names_up_to_the_start_key_are_left_out_even_if_the_server_sends_them() {
    let prefixes = ["a/", "b/", "c/"].map(|p| format!("<CommonPrefixes><Prefix>{p}</Prefix></CommonPrefixes>"));
    let script = Script::new([page(&format!("{}{}{}", object("b"), object("bb"), prefixes.concat()))]);
    let request = ListRequest { delimiter: true, start_after: Some("b/k".into()), ..Default::default() };
    let pages = script.list(request).await.unwrap();
    assert_eq!((keys(&pages), &pages[0].prefixes[..]), (vec!["bb"], &["c/".to_owned()][..]));
}

#[tokio::test]
async fn a_key_outside_the_prefix_is_an_error() {
    let script = Script::new([page(&object("other"))]);
    let error = script.list(ListRequest { prefix: "mine/".into(), ..Default::default() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert!(error.to_string().contains("\"other\""), "{error}");
}

#[tokio::test]
async fn a_page_that_is_cut_off_without_a_token_is_given_and_then_an_error() {
    for end in ["<IsTruncated>true</IsTruncated>", &more("")] {
        let items: Vec<_> = Script::new([page(&format!("{}{end}", object("a")))])
            .lister()
            .pages(ListRequest::default())
            .collect()
            .await;
        assert_eq!(keys(&[items[0].as_ref().unwrap().clone()]), ["a"]);
        assert_eq!(items[1].as_ref().unwrap_err().kind(), ErrorKind::Integrity);
        assert_eq!(items.len(), 2);
    }
}

#[tokio::test]
async fn tokens_that_go_in_a_circle_are_an_error() {
    for length in [1, 2, 3, 7, 50] {
        let circle = (0..length).map(|n| page(&more(&format!("token-{n}"))));
        let script = Script::new((0..5).flat_map(|_| circle.clone()));
        let error = script.list(ListRequest::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    }
}

#[tokio::test]
async fn tokens_that_advance_are_followed_to_the_end() {
    let count = 2000;
    let bodies = (0..count).map(|n| page(&format!("{}{}", object(&format!("{n:06}")), more(&n.to_string()))));
    let script = Script::new(bodies.chain([page(&object("last"))]));
    let pages = script.list(ListRequest::default()).await.unwrap();
    assert_eq!((pages.len(), keys(&pages)[count]), (count + 1, "last"));
}

#[tokio::test]
async fn an_answer_that_is_no_listing_is_an_error() {
    let cut = page(&object("a"));
    for body in ["", "<html>hello</html>", "<ListBucketResult><Contents>", &cut[..cut.len() - 20]] {
        let error = Script::new([body.to_owned()]).list(ListRequest::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{body}: {error}");
    }
    for object in [object("a").replace('7', "seven"), object("a").replace("2026", "yesterday")] {
        let error = Script::new([page(&object)]).list(ListRequest::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
    }
}

use std::collections::VecDeque;

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpResponse, HttpService};
use parking_lot::Mutex;

use super::*;
use crate::backend::token::Unsigned;

/// Answers requests with prepared bodies and keeps the queries that it was asked.
#[derive(Debug, Clone, Default)]
struct Script(Arc<Mutex<(VecDeque<String>, Vec<String>)>>);

impl Script {
    fn new(bodies: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(Mutex::new((bodies.into_iter().collect(), Vec::new()))))
    }

    fn lister(&self) -> Listing {
        let sender = RequestSender::new(HttpClient::new(self.clone()), Arc::new(Unsigned));
        Listing::new(sender, "http://host/acc/box".into(), "az://acc/box".into())
    }

    async fn list(&self, request: ListRequest) -> Result<Vec<ListPage>> {
        self.lister().pages(request).try_collect().await
    }

    fn queries(&self) -> Vec<String> {
        self.0.lock().1.clone()
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

fn page(entries: &str, next: &str) -> String {
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"http://host/acc\" \
         ContainerName=\"box\"><Prefix>a</Prefix><MaxResults>2</MaxResults><Blobs>{entries}</Blobs>\
         <NextMarker>{next}</NextMarker></EnumerationResults>"
    )
}

fn blob_with(name: &str, properties: &str) -> String {
    format!(
        "<Blob>{name}<Properties><Creation-Time>Wed, 09 Sep 2009 09:20:02 GMT</Creation-Time>\
         <Last-Modified>Wed, 09 Sep 2009 09:20:03 GMT</Last-Modified><Etag>0x8CBFF45D8A29A19</Etag>\
         <Content-Length>7</Content-Length><BlobType>BlockBlob</BlobType>{properties}</Properties><OrMetadata /></Blob>"
    )
}

fn blob(name: &str) -> String {
    blob_with(&format!("<Name>{name}</Name>"), "")
}

fn prefix(name: &str) -> String {
    format!("<BlobPrefix><Name>{name}</Name></BlobPrefix>")
}

fn keys(pages: &[ListPage]) -> Vec<&str> {
    pages.iter().flat_map(|page| &page.objects).map(|object| object.key.as_str()).collect()
}

#[tokio::test]
async fn a_blob_is_read_with_its_properties() {
    let pages = Script::new([page(&blob("a/b"), "")]).list(ListRequest::default()).await.unwrap();
    let entry = ObjectEntry {
        key: "a/b".into(),
        size: 7,
        last_modified: "2009-09-09T09:20:03Z".parse().unwrap(),
        e_tag: Some("\"0x8CBFF45D8A29A19\"".into()),
    };
    assert_eq!(pages, [ListPage { objects: vec![entry], prefixes: vec![] }]);
}

#[tokio::test]
async fn keys_arrive_byte_for_byte() {
    let written =
        [(" a ", " a "), ("a//./..", "a//./.."), ("dir/", "dir/"), ("%41+", "%41+"), ("&lt;&amp;&#10;", "<&\n")];
    let mut entries = written.map(|(written, _)| blob(written)).concat();
    entries.push_str(&blob_with("<Name Encoded=\"true\">a%2Fb%EF%BF%BE%25</Name>", ""));
    let pages = Script::new([page(&entries, "")]).list(ListRequest::default()).await.unwrap();
    let mut expected = written.map(|(_, key)| key).to_vec();
    expected.push("a/b\u{fffe}%");
    assert_eq!(keys(&pages), expected);
}

#[tokio::test]
async fn blobs_and_prefixes_may_alternate() {
    let entries = [blob("a"), prefix("b/"), blob("b"), prefix("c/")].concat();
    let pages = Script::new([page(&entries, "")]).list(ListRequest::default()).await.unwrap();
    assert_eq!((keys(&pages), &pages[0].prefixes[..]), (vec!["a", "b"], &["b/".to_owned(), "c/".to_owned()][..]));
}

#[tokio::test]
async fn a_directory_is_a_marker() {
    let entries = [
        blob_with("<Name>dir</Name>", "<ResourceType>directory</ResourceType>"),
        blob("old").replace("<OrMetadata />", "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>"),
        blob_with("<Name>dir/file</Name>", "<ResourceType>file</ResourceType>"),
    ];
    let pages = Script::new([page(&entries.concat(), "")]).list(ListRequest::default()).await.unwrap();
    assert_eq!(keys(&pages), ["dir/", "old/", "dir/file"]);
    let markers: Vec<_> = pages[0].objects.iter().map(ObjectEntry::is_marker).collect();
    assert_eq!(markers, [true, true, false]);
}

#[tokio::test]
async fn every_part_of_a_request_is_asked_of_the_server() {
    let script = Script::new([page(&blob("a b/c+2"), "m+/="), page("", "")]);
    let request = ListRequest { prefix: "a b/".into(), delimiter: true, start_after: None, page_size: Some(9999) };
    script.list(request).await.unwrap();
    assert_eq!(
        script.queries(),
        [
            "restype=container&comp=list&delimiter=%2F&maxresults=5000&prefix=a%20b%2F",
            "restype=container&comp=list&delimiter=%2F&marker=m%2B%2F%3D&maxresults=5000&prefix=a%20b%2F",
        ]
    );
}

#[tokio::test]
async fn a_listing_after_a_key_goes_over_the_pages_before_it() {
    let script = Script::new([
        page(&[blob("a"), blob("b")].concat(), "1"),
        page(&[blob("c"), prefix("d/"), blob("e")].concat(), "2"),
        page("", "3"),
        page(&blob("f"), ""),
    ]);
    let request = ListRequest { start_after: Some("d/".into()), ..ListRequest::default() };
    let pages = script.list(request).await.unwrap();
    assert_eq!(keys(&pages), ["e", "f"]);
    assert!(pages.iter().all(|page| page.prefixes.is_empty()));
}

#[tokio::test]
async fn a_page_is_requested_when_it_is_polled_for() {
    let script = Script::new([page(&blob("a"), "1"), page(&blob("b"), "")]);
    let mut pages = script.lister().pages(ListRequest::default());
    assert_eq!(script.queries().len(), 0);
    pages.try_next().await.unwrap().unwrap();
    assert_eq!(script.queries().len(), 1);
    pages.try_next().await.unwrap().unwrap();
    assert!(pages.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn markers_that_go_in_a_circle_are_an_error_behind_the_page() {
    for length in [1, 2, 7] {
        let circle = (0..length).map(|marker| page(&blob("a"), &format!("marker-{marker}")));
        let script = Script::new((0..5).flat_map(|_| circle.clone()));
        let items: Vec<_> = script.lister().pages(ListRequest::default()).collect().await;
        let (last, pages) = items.split_last().unwrap();
        assert_eq!(last.as_ref().unwrap_err().kind(), ErrorKind::Integrity);
        assert!(pages.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn a_key_outside_the_prefix_is_an_error() {
    let request = ListRequest { prefix: "mine/".into(), ..ListRequest::default() };
    let error = Script::new([page(&blob("other"), "")]).list(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert!(error.to_string().contains("\"other\""), "{error}");
}

#[tokio::test]
async fn a_key_that_is_not_text_is_an_error_by_name_and_the_listing_goes_on() {
    let bad = blob_with("<Name Encoded=\"true\">%FF</Name>", "");
    let script = Script::new([page(&[bad, blob("a")].concat(), "1"), page(&blob("b"), "")]);
    let items: Vec<_> = script.lister().pages(ListRequest::default()).collect().await;
    assert_eq!(keys(&[items[0].as_ref().unwrap().clone()]), ["a"]);
    let error = items[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("%FF"), "{error}");
    assert_eq!(keys(&[items[2].as_ref().unwrap().clone()]), ["b"]);
}

#[tokio::test]
async fn an_answer_that_is_no_listing_is_an_error() {
    let whole = page(&blob("a"), "");
    let cut = (1..whole.len()).filter(|end| whole.is_char_boundary(*end)).map(|end| whole[..end].to_owned());
    let others = ["", "<html>hello</html>", "<EnumerationResults><Blobs>"].map(str::to_owned);
    let wrong = [whole.replace(">7<", ">seven<"), whole.replace("Wed, 09 Sep", "Someday")];
    for body in cut.chain(others).chain(wrong) {
        let error = Script::new([body.clone()]).list(ListRequest::default()).await.expect_err(&body);
        assert_eq!(error.kind(), ErrorKind::Integrity, "{body}: {error}");
    }
}

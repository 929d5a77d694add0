//! Against an S3 server.

use std::io::{BufRead, BufReader};

use insta::assert_snapshot;
use s3dlio_testkit::fault_proxy::{FaultProxy, Rule};
use s3dlio_testkit::process::eventually;
use s3dlio_testkit::servers::S3sFs;

use crate::command::{LIMIT, Sandbox, text};

#[test]
fn a_bucket_from_beginning_to_end() {
    let server = S3sFs::start().unwrap();
    let sandbox = Sandbox::with_s3(&server, &server.endpoint());
    sandbox.file("set/a", "one");
    sandbox.file("set/sub/b", "three");
    let lines = [
        "mb s3://bucket",
        "ls s3://",
        "ls s3://bucket",
        "cp -r set s3://bucket/x/",
        "ls s3://bucket/x",
        "ls -r s3://bucket --uris",
        "du s3://bucket/x s3://bucket/x/a",
        "cat s3://bucket/x/sub/b s3://bucket/x/a",
        "cp s3://bucket/x/a s3://bucket",
        "mv -r s3://bucket/x s3://bucket/y",
        "cp -r s3://bucket/y back",
        "ls -r s3://bucket",
        "rb s3://bucket",
        "rm -ry s3://bucket",
        "rb s3://bucket",
        "ls s3://",
    ];
    assert_snapshot!(sandbox.session(&lines), @r"
    ");
    assert_eq!(sandbox.files("back"), ["a", "sub/b"]);
}

#[test]
fn what_is_not_there_is_said() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let sandbox = Sandbox::with_s3(&server, &server.endpoint());
    let lines = [
        "ls s3://bucket",
        "ls s3://bucket/none",
        "ls s3://bucket/none/",
        "stat s3://bucket/none",
        "rm -ry s3://bucket/none/",
        "cp -r s3://bucket/none x",
        "load s3://bucket/none/",
    ];
    assert_snapshot!(sandbox.session(&lines), @r"
    ");
}

#[test]
fn the_first_page_is_shown_while_the_second_is_waited_for() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    for number in 0..1500 {
        std::fs::write(server.root().join(format!("bucket/{number:04}")), "").unwrap();
    }
    let proxy = FaultProxy::start(server.address()).unwrap();
    proxy.add(Rule::method("GET").query("continuation-token").never_answer());
    let sandbox = Sandbox::with_s3(&server, &proxy.endpoint());
    let mut listing = sandbox.start(&["ls", "s3://bucket"]);
    let mut lines = BufReader::new(listing.0.stdout.take().unwrap()).lines();
    for number in 0..1000 {
        assert_eq!(lines.next().unwrap().unwrap(), format!("{number:04}"));
    }
    assert!(eventually(LIMIT, || proxy.log().count(|request| request.query.contains("continuation-token")) == 1));
    listing.signal("INT");
    let (code, said) = listing.end();
    assert_eq!((code, said.as_str()), (Some(130), "s3dlio: interrupted: listed 1000 objects\n"));
}

#[test]
fn wrong_credentials_are_said_at_once() {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let mut sandbox = Sandbox::with_s3(&server, &server.endpoint());
    sandbox.set("AWS_SECRET_ACCESS_KEY", "hunter2");
    let output = sandbox.output(&["-vv", "ls", "s3://bucket"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.lines().last().unwrap().starts_with("s3dlio: list s3://bucket: "), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

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
    assert_snapshot!(sandbox.session(&lines), @r#"
    $ s3dlio mb s3://bucket
    $ s3dlio ls s3://
    bucket/
    $ s3dlio ls s3://bucket
    $ s3dlio cp -r set s3://bucket/x/
    ! copied 2 objects, 8 B
    $ s3dlio ls s3://bucket/x
    x/
    $ s3dlio ls -r s3://bucket --uris
    s3://bucket/x/a
    s3://bucket/x/sub/b
    $ s3dlio du s3://bucket/x s3://bucket/x/a
               8         2 objects  s3://bucket/x
               3          1 object  s3://bucket/x/a
              11         3 objects  total
    $ s3dlio cat s3://bucket/x/sub/b s3://bucket/x/a
    threeone$ s3dlio cp s3://bucket/x/a s3://bucket
    ! copied 1 object
    $ s3dlio mv -r s3://bucket/x s3://bucket/y
    ! moved 2 objects, 8 B
    $ s3dlio cp -r s3://bucket/y back
    ! copied 2 objects, 8 B
    $ s3dlio ls -r s3://bucket
    a
    y/a
    y/sub/b
    $ s3dlio rb s3://bucket
    ! s3dlio: delete bucket s3://bucket: precondition failed: the bucket is not empty (delete what the bucket holds first)
    [1]
    $ s3dlio rm -ry s3://bucket
    ! removed 3 objects
    $ s3dlio rb s3://bucket
    $ s3dlio ls s3://
    "#);
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
    assert_snapshot!(sandbox.session(&lines), @r#"
    $ s3dlio ls s3://bucket
    $ s3dlio ls s3://bucket/none
    ! s3dlio: list s3://bucket/none: not found: nothing begins with this
    [4]
    $ s3dlio ls s3://bucket/none/
    ! s3dlio: list s3://bucket/none/: not found: nothing begins with this
    [4]
    $ s3dlio stat s3://bucket/none
    ! s3dlio: stat s3://bucket/none: not found: Server returned non-2xx status code: 404 Not Found:
    [4]
    $ s3dlio rm -ry s3://bucket/none/
    ! s3dlio: delete s3://bucket/none/: not found: nothing is below it
    [4]
    $ s3dlio cp -r s3://bucket/none x
    ! s3dlio: get s3://bucket/none: not found: Server returned non-2xx status code: 404 Not Found: NoSuchKey
    [4]
    $ s3dlio load s3://bucket/none/
    ! s3dlio: load s3://bucket/none/: not found: no object begins with this prefix (check the prefix: directory markers are no samples)
    [4]
    "#);
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
    assert_eq!((code, said.as_str()), (Some(130), "s3dlio: interrupted: listed 1000 names\n"));
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

//! Ctrl-C in the middle of work against a server that does not go on.
//!
//! That these commands end at all shows that they were cancelled: by themselves they would fail with a timeout, and with
//! another exit code.

use s3dlio_testkit::data::bytes;
use s3dlio_testkit::fault_proxy::{At, FaultProxy, Rule};
use s3dlio_testkit::process::eventually;
use s3dlio_testkit::servers::S3sFs;

use crate::command::{LIMIT, Sandbox};

const SIZE: usize = 40 << 20;

fn setup() -> (S3sFs, FaultProxy, Sandbox) {
    let server = S3sFs::start_with_bucket("bucket").unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let mut sandbox = Sandbox::with_s3(&server, &proxy.endpoint());
    // Far beyond what a test may take: what ends here has been cancelled.
    for key in ["OPERATION_DEADLINE", "RANGE_TIMEOUT", "IDLE_TIMEOUT"] {
        sandbox.set(&format!("S3DLIO_{key}"), "1h");
    }
    (server, proxy, sandbox)
}

/// Parts of uploads that the server never hears of, and the client never hears of again.
fn lost_parts() -> Rule {
    Rule::method("PUT").query("partNumber").answer(200, &[], "").never_answer()
}

#[test]
fn an_interrupted_upload_leaves_no_parts() {
    let (server, proxy, mut sandbox) = setup();
    sandbox.file("large", bytes(1, SIZE));
    // One after the other: when the third is sent, the server has two.
    sandbox.set("S3DLIO_MAX_CONCURRENT_PARTS", "1");
    for signal in ["INT", "TERM"] {
        proxy.log().clear();
        proxy.heal();
        proxy.add(lost_parts().after(2));
        let copy = sandbox.start(&["cp", "large", "s3://bucket/large"]);
        assert!(eventually(LIMIT, || proxy.log().count_operation("UploadPart") == 3));
        assert_eq!(server.multipart_uploads().len(), 1);
        copy.signal(signal);
        let (code, said) = copy.end();
        assert_eq!((code, said.as_str()), (Some(130), "s3dlio: interrupted: copied 0 objects\n"));
        assert_eq!(proxy.log().count_operation("AbortMultipartUpload"), 1);
        assert!(server.multipart_uploads().is_empty());
    }
    assert!(!server.root().join("bucket/large").exists());
}

#[test]
fn an_interrupted_download_leaves_no_file() {
    let (server, proxy, sandbox) = setup();
    std::fs::write(server.root().join("bucket/large"), bytes(1, SIZE)).unwrap();
    proxy.add(Rule::method("GET").path("/bucket/large").after(1).stall(At::Body(1000)));
    let get = sandbox.start(&["get", "s3://bucket/large", "down/"]);
    assert!(eventually(LIMIT, || proxy.log().count_operation("GetObject") > 1));
    get.signal("INT");
    assert_eq!(get.end().0, Some(130));
    assert!(sandbox.files("down").is_empty());
}

#[test]
fn an_interrupted_copy_of_many_says_what_was_done() {
    let (server, proxy, mut sandbox) = setup();
    // One after the other: when the eleventh is asked for, ten have been counted.
    sandbox.set("S3DLIO_MAX_CONCURRENT_DOWNLOADS", "1");
    for number in 0..20 {
        std::fs::write(server.root().join(format!("bucket/{number:02}")), bytes(number, 1000)).unwrap();
    }
    proxy.add(Rule::method("GET").path("/bucket/1").never_answer());
    let copy = sandbox.start(&["cp", "-r", "s3://bucket", "down"]);
    assert!(eventually(LIMIT, || proxy.log().count(|request| request.path == "/bucket/10") == 1));
    copy.signal("INT");
    let (code, said) = copy.end();
    assert_eq!((code, said.as_str()), (Some(130), "s3dlio: interrupted: copied 10 objects, 9.8 KiB\n"));
    assert_eq!(sandbox.files("down").len(), 10);
}

#[test]
fn input_that_never_comes_can_be_interrupted() {
    let (server, proxy, sandbox) = setup();
    proxy.add(lost_parts());
    let mut command = sandbox.command(&["put", "-", "s3://bucket/x"]);
    let mut put = crate::command::Running(command.stdin(std::process::Stdio::piped()).spawn().unwrap());
    let mut input = put.0.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, &bytes(1, 9 << 20)).unwrap();
    assert!(eventually(LIMIT, || proxy.log().count_operation("UploadPart") == 1));
    put.signal("INT");
    let (code, _) = put.end();
    assert_eq!(code, Some(130));
    assert!(server.multipart_uploads().is_empty());
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let (_server, proxy, sandbox) = setup();
    sandbox.file("large", bytes(1, SIZE));
    proxy.add(lost_parts());
    proxy.add(Rule::method("DELETE").never_answer());
    let mut copy = sandbox.start(&["cp", "large", "s3://bucket/large"]);
    assert!(eventually(LIMIT, || proxy.log().count_operation("UploadPart") > 0));
    copy.signal("INT");
    assert!(eventually(LIMIT, || proxy.log().count_operation("AbortMultipartUpload") == 1));
    assert!(!copy.has_ended());
    copy.signal("INT");
    assert_eq!(copy.end().0, Some(130));
}

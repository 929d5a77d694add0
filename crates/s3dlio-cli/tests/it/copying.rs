//! `cp`, `mv`, `get` and `put` between files.

use std::io::Write;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::command::{Sandbox, text};

fn sample() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("set/a", "one");
    sandbox.file("set/sub/b", "three");
    sandbox.file("other/c", "four");
    sandbox
}

#[test]
fn cp_names_the_target_or_goes_below_it() {
    let sandbox = sample();
    std::fs::create_dir(sandbox.path("there")).unwrap();
    let lines = [
        "cp set/a copy",
        "cp set/a there",
        "cp set/a other/c new/",
        "cp set/a other/c there2",
        "cp set there",
        "cp set/none there",
        "cp set/a set/none x/",
        "--max-concurrent-downloads 1 cp none1 none2 x/",
    ];
    assert_snapshot!(sandbox.session(&lines), @r#"
    $ s3dlio cp set/a copy
    ! copied 1 object, 3 B
    $ s3dlio cp set/a there
    ! copied 1 object, 3 B
    $ s3dlio cp set/a other/c new/
    ! copied 2 objects, 7 B
    $ s3dlio cp set/a other/c there2
    ! copied 2 objects, 7 B
    $ s3dlio cp set there
    ! s3dlio: file:///DIR/set is not one object (use -r for everything below it)
    [2]
    $ s3dlio cp set/none there
    ! s3dlio: copy file:///DIR/set/none: not found: No such file or directory (os error 2)
    [4]
    $ s3dlio cp set/a set/none x/
    ! s3dlio: copy file:///DIR/set/none: not found: No such file or directory (os error 2)
    ! copied 1 object, 1 failed, 3 B
    [3]
    $ s3dlio --max-concurrent-downloads 1 cp none1 none2 x/
    ! s3dlio: copy file:///DIR/none1: not found: No such file or directory (os error 2)
    ! s3dlio: copy file:///DIR/none2: not found: No such file or directory (os error 2)
    ! copied 0 objects, 2 failed
    [4]
    "#);
    assert_eq!(
        sandbox.files(""),
        ["copy", "new/a", "new/c", "other/c", "set/a", "set/sub/b", "there/a", "there2/a", "there2/c", "x/a"]
    );
}

#[test]
fn cp_recursive_puts_one_tree_below_the_target_and_several_by_name() {
    let sandbox = sample();
    let lines = [
        "cp -r set one",
        "cp -r set other/c several",
        "upload -r set old-name",
        "cp -r set/a single",
        "cp -r none x",
        "cp -r none/ x",
        "cp -r set set/copy",
    ];
    assert_snapshot!(sandbox.session(&lines), @r#"
    $ s3dlio cp -r set one
    ! copied 2 objects, 8 B
    $ s3dlio cp -r set other/c several
    ! copied 3 objects, 12 B
    $ s3dlio upload -r set old-name
    ! copied 2 objects, 8 B
    $ s3dlio cp -r set/a single
    ! copied 1 object, 3 B
    $ s3dlio cp -r none x
    ! s3dlio: copy file:///DIR/none: not found: No such file or directory (os error 2)
    [4]
    $ s3dlio cp -r none/ x
    ! s3dlio: copy file:///DIR/none/: not found: nothing is below it
    [4]
    $ s3dlio cp -r set set/copy
    ! s3dlio: file:///DIR/set/copy lies in file:///DIR/set: what is copied would be copied again
    [2]
    "#);
    assert_eq!(sandbox.files("one"), ["a", "sub/b"]);
    assert_eq!(sandbox.files("several"), ["c", "set/a", "set/sub/b"]);
    assert_eq!(sandbox.files("old-name"), ["a", "sub/b"]);
    assert_eq!(std::fs::read_to_string(sandbox.path("one/sub/b")).unwrap(), "three");
}

#[test]
fn what_exists_can_be_kept() {
    let sandbox = sample();
    sandbox.file("target/a", "mine");
    let lines =
        ["cp -r --keep-existing set target", "mv -r --keep-existing set target", "-q cp --keep-existing set/a target"];
    assert_snapshot!(sandbox.session(&lines), @r#"
    $ s3dlio cp -r --keep-existing set target
    ! copied 1 object, 1 kept, 5 B
    $ s3dlio mv -r --keep-existing set target
    ! moved 0 objects, 2 kept
    $ s3dlio -q cp --keep-existing set/a target
    "#);
    assert_eq!(std::fs::read_to_string(sandbox.path("target/a")).unwrap(), "mine");
    assert_eq!(sandbox.files("set"), ["a", "sub/b"]);
}

#[test]
fn mv_leaves_nothing_behind() {
    let sandbox = sample();
    assert_snapshot!(sandbox.session(&["mv set/a b", "mv -r set other/c moved", "mv -r moved/set back", "mv none x"]), @r#"
    $ s3dlio mv set/a b
    ! moved 1 object, 3 B
    $ s3dlio mv -r set other/c moved
    ! moved 2 objects, 9 B
    $ s3dlio mv -r moved/set back
    ! moved 1 object, 5 B
    $ s3dlio mv none x
    ! s3dlio: rename file:///DIR/none: not found: No such file or directory (os error 2)
    [4]
    "#);
    assert_eq!(sandbox.files(""), ["b", "back/sub/b", "moved/c"]);
    assert!(!sandbox.path("set").exists() && !sandbox.path("moved/set").exists());
}

#[test]
fn get_and_put_are_for_paths() {
    let sandbox = sample();
    let lines = [
        "get set/sub/b",
        "get set/sub/b renamed",
        "get -r set below",
        "get set/a -",
        "get set/a s3://bucket/key",
        "put set/a other/",
        "put set/a other/ --if-absent",
        "put none other/",
        "put - other/",
    ];
    assert_snapshot!(sandbox.session(&lines), @r#"
    $ s3dlio get set/sub/b
    ! copied 1 object, 5 B
    $ s3dlio get set/sub/b renamed
    ! copied 1 object, 5 B
    $ s3dlio get -r set below
    ! copied 2 objects, 8 B
    $ s3dlio get set/a -
    one$ s3dlio get set/a s3://bucket/key
    ! s3dlio: s3://bucket/key is not a path (use cp)
    [2]
    $ s3dlio put set/a other/
    ! wrote 1 object, 3 B
    $ s3dlio put set/a other/ --if-absent
    ! s3dlio: write file:///DIR/other/a: already exists: entity already exists
    [1]
    $ s3dlio put none other/
    ! s3dlio: get file:///DIR/none: not found: No such file or directory (os error 2)
    [4]
    $ s3dlio put - other/
    ! s3dlio: file:///DIR/other/ names no object: standard input has no name of its own
    [2]
    "#);
    assert_eq!(std::fs::read_to_string(sandbox.path("b")).unwrap(), "three");
}

#[test]
fn standard_input_is_put_as_it_comes() {
    let sandbox = Sandbox::new();
    let data = s3dlio_testkit::data::bytes(1, 20_000_003);
    let mut child = sandbox.command(&["put", "-", "piped"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&data).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), "wrote 1 object, 19.1 MiB\n".into()));
    s3dlio_testkit::data::assert_same(&std::fs::read(sandbox.path("piped")).unwrap(), &data, "piped");
}

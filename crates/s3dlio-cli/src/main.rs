//! The `s3dlio` command.
fn main() {}

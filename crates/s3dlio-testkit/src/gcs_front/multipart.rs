//! Multipart uploads: <https://cloud.google.com/storage/docs/multipart-uploads>.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use md5::{Digest, Md5};
use quick_xml::escape::escape;
use serde::Deserialize;

use super::bucket::{Object, hex, kept};
use super::object::describe;
use super::reply::{self, Fail, Reply};
use super::{Call, State};

/// The least size of every part but the last.
const SMALLEST_PART: usize = 5 << 20;
const MOST_PARTS: u32 = 10_000;

/// An upload under way.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    headers: Vec<(String, String)>,
    parts: BTreeMap<u32, Part>,
}

#[derive(Debug)]
struct Part {
    body: Bytes,
    md5: [u8; 16],
}

impl Part {
    fn etag(&self) -> String {
        format!("\"{}\"", hex(&self.md5))
    }
}

pub(super) fn initiate(state: &mut State, call: &Call<'_>) -> Result<Reply, Fail> {
    state.bucket(&call.bucket)?;
    state.last_upload += 1;
    let id = format!("upload-{}", state.last_upload);
    let upload = Upload { key: call.key.clone(), headers: kept(call.headers), parts: BTreeMap::new() };
    state.bucket_mut(&call.bucket)?.uploads.insert(id.clone(), upload);
    Ok(reply::xml(&format!(
        "<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><UploadId>{id}</UploadId>\
         </InitiateMultipartUploadResult>",
        escape(&call.bucket),
        escape(&call.key)
    )))
}

pub(super) fn put_part(state: &mut State, call: Call<'_>) -> Result<Reply, Fail> {
    let number = call.query.get("partNumber").and_then(|number| number.parse().ok());
    let number = number
        .filter(|number| (1..=MOST_PARTS).contains(number))
        .ok_or_else(|| Fail::invalid("Part number must be an integer between 1 and 10000, inclusive."))?;
    let part = Part { md5: Md5::digest(&call.body).into(), body: call.body.clone() };
    let mut reply = reply::empty(StatusCode::OK);
    reply::set(&mut reply, "etag", &part.etag());
    upload_mut(state, &call)?.parts.insert(number, part);
    Ok(reply)
}

/// The body of the request that completes an upload.
#[derive(Debug, Deserialize)]
struct CompleteMultipartUpload {
    #[serde(rename = "Part", default)]
    parts: Vec<NamedPart>,
}

#[derive(Debug, Deserialize)]
struct NamedPart {
    #[serde(rename = "PartNumber")]
    number: u32,
    #[serde(rename = "ETag")]
    etag: String,
}

pub(super) fn complete(state: &mut State, call: &Call<'_>) -> Result<Reply, Fail> {
    let malformed = || Fail::new(StatusCode::BAD_REQUEST, "MalformedXML", "The XML you provided was not well-formed.");
    let named: CompleteMultipartUpload = quick_xml::de::from_reader(&call.body[..]).map_err(|_| malformed())?;
    if named.parts.is_empty() {
        return Err(malformed());
    }
    let upload = upload_mut(state, call)?;
    let mut body = BytesMut::new();
    let mut digests = Md5::new();
    let mut last = 0;
    for (index, part) in named.parts.iter().enumerate() {
        if part.number <= last {
            let message = "The list of parts was not in ascending order.";
            return Err(Fail::new(StatusCode::BAD_REQUEST, "InvalidPartOrder", message));
        }
        last = part.number;
        let missing = || Fail::new(StatusCode::BAD_REQUEST, "InvalidPart", "A specified part could not be found.");
        let stored = upload.parts.get(&part.number).ok_or_else(missing)?;
        if stored.etag().trim_matches('"') != part.etag.trim_matches('"') {
            return Err(missing());
        }
        if index + 1 < named.parts.len() && stored.body.len() < SMALLEST_PART {
            let message = "Your proposed upload is smaller than the minimum allowed object size.";
            return Err(Fail::new(StatusCode::BAD_REQUEST, "EntityTooSmall", message));
        }
        body.extend_from_slice(&stored.body);
        digests.update(stored.md5);
    }
    let etag = format!("{}-{}", hex(&digests.finalize()), named.parts.len());
    let object = Object::composed(upload.headers.clone(), body.freeze(), etag);
    let object = state.insert(&call.bucket, &call.key, object)?;
    remove(state, call)?;
    let mut reply = reply::xml(&format!(
        "<CompleteMultipartUploadResult><Location>http://storage.googleapis.com/{0}/{1}</Location>\
         <Bucket>{0}</Bucket><Key>{1}</Key><ETag>{2}</ETag></CompleteMultipartUploadResult>",
        escape(&call.bucket),
        escape(&call.key),
        escape(&object.etag)
    ));
    describe(&mut reply, &object);
    Ok(reply)
}

pub(super) fn abort(state: &mut State, call: &Call<'_>) -> Result<Reply, Fail> {
    remove(state, call)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

pub(super) fn list(state: &State, call: &Call<'_>) -> Result<Reply, Fail> {
    let uploads =
        state.bucket(&call.bucket)?.uploads.iter().map(|(id, upload)| {
            format!("<Upload><Key>{}</Key><UploadId>{id}</UploadId></Upload>", escape(&upload.key))
        });
    let uploads: String = uploads.collect();
    Ok(reply::xml(&format!(
        "<ListMultipartUploadsResult><Bucket>{}</Bucket><IsTruncated>false</IsTruncated>{uploads}\
         </ListMultipartUploadsResult>",
        escape(&call.bucket)
    )))
}

pub(super) fn list_parts(state: &State, call: &Call<'_>) -> Result<Reply, Fail> {
    let id = upload_id(call);
    let upload = state.bucket(&call.bucket)?.uploads.get(id).ok_or_else(Fail::no_such_upload)?;
    let parts = upload.parts.iter().map(|(number, part)| {
        format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag><Size>{}</Size></Part>",
            escape(part.etag()),
            part.body.len()
        )
    });
    let parts: String = parts.collect();
    Ok(reply::xml(&format!(
        "<ListPartsResult><Bucket>{}</Bucket><Key>{}</Key><UploadId>{id}</UploadId><IsTruncated>false</IsTruncated>\
         {parts}</ListPartsResult>",
        escape(&call.bucket),
        escape(&upload.key)
    )))
}

fn upload_id<'a>(call: &'a Call<'_>) -> &'a str {
    call.query.get("uploadId").map(String::as_str).unwrap_or_default()
}

/// The upload of this id, if it is for this key.
fn upload_mut<'a>(state: &'a mut State, call: &Call<'_>) -> Result<&'a mut Upload, Fail> {
    let upload = state.bucket_mut(&call.bucket)?.uploads.get_mut(upload_id(call));
    upload.filter(|upload| upload.key == call.key).ok_or_else(Fail::no_such_upload)
}

fn remove(state: &mut State, call: &Call<'_>) -> Result<(), Fail> {
    upload_mut(state, call)?;
    state.bucket_mut(&call.bucket)?.uploads.remove(upload_id(call));
    Ok(())
}

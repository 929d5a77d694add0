//! Where a bucket is: the one rule for region, endpoint and addressing style.
//!
//! | endpoint_url | virtual_hosted_style | bucket | address |
//! | --- | --- | --- | --- |
//! | none | not set or true | a DNS label | `https://BUCKET.s3.REGION.amazonaws.com` |
//! | none | false, or any | with a dot, capitals or `_` | `https://s3.REGION.amazonaws.com/BUCKET` |
//! | given | not set or false | any | `ENDPOINT/BUCKET` |
//! | given | true | any | `SCHEME://BUCKET.HOST` |
//!
//! A dot in the name would not match the wildcard of the certificate.

use url::{Position, Url};

use crate::credentials::AwsSettings;
use crate::error::{Error, ErrorKind, Operation, Result};

/// The address of a service, and how buckets are named in it.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// Without a trailing slash.
    url: String,
    /// Scheme, and host with port and path.
    scheme: String,
    rest: String,
    region: String,
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    Path,
    VirtualHost,
    /// Virtual host where the bucket's name allows it.
    ByName,
}

/// A name that no bucket can have.
#[derive(Debug)]
pub(super) struct BadName(String);

impl BadName {
    pub(super) fn into_error(self, operation: Operation, uri: &str) -> Error {
        Error::new(ErrorKind::InvalidInput, operation, uri).with_message(self.0)
    }
}

impl Endpoint {
    /// # Errors
    /// [`ErrorKind::Config`] for an endpoint that is not an `http` or `https` address, or has a query or a password.
    pub(super) fn new(settings: &AwsSettings, virtual_hosted: Option<bool>) -> Result<Self> {
        let region = settings.region.clone();
        // The region becomes part of a host name.
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        {
            return Err(config_error("region").with_message(format!("{region:?} is not the name of a region")));
        }
        let (url, style) = match &settings.endpoint_url {
            Some(given) => (parse(given)?, if virtual_hosted == Some(true) { Style::VirtualHost } else { Style::Path }),
            None => (
                format!("https://s3.{region}.{}", partition_domain(&region)),
                if virtual_hosted == Some(false) { Style::Path } else { Style::ByName },
            ),
        };
        let (scheme, rest) = url.split_once("://").map(|(scheme, rest)| (scheme.to_owned(), rest.to_owned())).unzip();
        Ok(Self { scheme: scheme.unwrap_or_default(), rest: rest.unwrap_or_default(), url, region, style })
    }

    /// The address of the service itself.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn is_tls(&self) -> bool {
        self.scheme == "https"
    }

    /// The address of a bucket, without a trailing slash.
    pub(super) fn bucket_url(&self, bucket: &str) -> Result<String, BadName> {
        if bucket.is_empty() {
            return Err(BadName("the bucket is missing".to_owned()));
        }
        if let Some(bad) = bucket.chars().find(|c| !c.is_ascii_alphanumeric() && !"-._".contains(*c)) {
            return Err(BadName(format!("a bucket's name cannot contain {bad:?}")));
        }
        if bucket.bytes().all(|byte| byte == b'.') {
            return Err(BadName(format!("a bucket cannot be called {bucket:?}")));
        }
        let is_virtual = match self.style {
            Style::Path => false,
            Style::VirtualHost => true,
            Style::ByName => is_dns_label(bucket),
        };
        Ok(match is_virtual {
            true => format!("{}://{bucket}.{}", self.scheme, self.rest),
            false => format!("{}/{bucket}", self.url),
        })
    }
}

fn parse(given: &str) -> Result<String> {
    let url = Url::parse(given).map_err(|error| {
        config_error("endpoint_url")
            .with_message(format!("{given:?} is not an address: {error}"))
            .with_hint("write http://HOST:PORT or https://HOST")
    })?;
    if url.password().is_some() || !url.username().is_empty() {
        // Said without the address, which would put the password into a log.
        return Err(
            config_error("endpoint_url").with_message("user names and passwords in an address are not supported")
        );
    }
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.query().is_some() {
        return Err(config_error("endpoint_url")
            .with_message(format!("{given:?} is not the address of an S3 service"))
            .with_hint("write http://HOST:PORT or https://HOST"));
    }
    Ok(url[..Position::AfterPath].trim_end_matches('/').to_owned())
}

/// China's regions are a partition with a domain of its own.
fn partition_domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

fn is_dns_label(bucket: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bucket.len() <= 63
        && bucket.bytes().all(|byte| is_plain(byte) || byte == b'-')
        && bucket.bytes().next().is_some_and(is_plain)
        && bucket.bytes().last().is_some_and(is_plain)
}

fn config_error(key: &str) -> Error {
    Error::new(ErrorKind::Config, Operation::Open, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(given: Option<&str>, region: &str, style: Option<bool>) -> Result<Endpoint> {
        let settings =
            AwsSettings { credentials: None, region: region.to_owned(), endpoint_url: given.map(str::to_owned) };
        Endpoint::new(&settings, style)
    }

    #[test]
    fn a_bucket_of_aws_is_in_the_host_if_its_name_can_be() {
        let url = |region, style, bucket| endpoint(None, region, style).unwrap().bucket_url(bucket).unwrap();
        assert_eq!(url("eu-west-1", None, "b-1"), "https://b-1.s3.eu-west-1.amazonaws.com");
        assert_eq!(url("cn-north-1", Some(true), "b-1"), "https://b-1.s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(url("us-east-1", None, "a.b"), "https://s3.us-east-1.amazonaws.com/a.b");
        assert_eq!(url("us-east-1", None, "Old_Name"), "https://s3.us-east-1.amazonaws.com/Old_Name");
        assert_eq!(url("us-east-1", Some(false), "b-1"), "https://s3.us-east-1.amazonaws.com/b-1");
    }

    #[test]
    fn a_bucket_of_another_endpoint_is_in_the_path_unless_told_otherwise() {
        let url = |given, style| endpoint(Some(given), "r", style).unwrap().bucket_url("b").unwrap();
        assert_eq!(url("http://127.0.0.1:9000/", None), "http://127.0.0.1:9000/b");
        assert_eq!(url("https://host/s3/", None), "https://host/s3/b");
        assert_eq!(url("https://host:1", Some(true)), "https://b.host:1");
        assert!(!endpoint(Some("http://h"), "r", None).unwrap().is_tls());
        assert!(endpoint(None, "r", None).unwrap().is_tls());
    }

    #[test]
    fn what_cannot_be_an_address_is_an_error_without_a_password() {
        for given in ["host:9000", "ftp://host", "http://", "http://h?x=1", "http://u:hunter2@h"] {
            let error = endpoint(Some(given), "r", None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{given}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert_eq!(endpoint(None, "evil.example/", None).unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn what_cannot_be_a_bucket_is_an_error() {
        for bucket in ["", "a/b", "a?b", "..", "a b", "ü"] {
            assert!(endpoint(None, "r", None).unwrap().bucket_url(bucket).is_err(), "{bucket}");
        }
    }
}

//! Where credentials come from. Each source gives the keys of a real server, so that a listing there shows that the
//! source was found, understood and signed with.

use s3dlio_store::credentials::AwsSettings;
use tempfile::TempDir;

use super::service::{Answer, Service};
use super::*;

/// A home directory, a server that wants to see its keys, and variables that lead to them.
struct Home {
    directory: TempDir,
    server: S3sFs,
    variables: Vec<(String, String)>,
    profile: Option<String>,
    /// Whether the endpoint is in the configuration; else the profile has to name it.
    knows_endpoint: bool,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join(".aws/sso/cache")).unwrap();
        let home = directory.path().to_str().unwrap().to_owned();
        let server = S3sFs::start_with_bucket("bucket").unwrap();
        Self {
            directory,
            server,
            // No test may reach for the metadata service of the machine it runs on.
            variables: vec![("HOME".into(), home), ("AWS_EC2_METADATA_DISABLED".into(), "true".into())],
            profile: None,
            knows_endpoint: true,
        }
    }

    fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Writes a file of the home directory, with the server's keys and endpoint in their places.
    fn file(self, name: &str, content: &str) -> Self {
        let content = self.fill(content);
        std::fs::write(self.directory.path().join(name), content).unwrap();
        self
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn fill(&self, text: &str) -> String {
        text.replace("KEY_ID", self.server.access_key())
            .replace("SECRET", self.server.secret_key())
            .replace("ENDPOINT", &self.server.endpoint())
            .replace("HOME", self.directory.path().to_str().unwrap())
    }

    fn setup(&self) -> Setup {
        let mut setup = Setup { environment: self.variables.iter().cloned().collect(), ..Default::default() };
        setup.config.profile = self.profile.clone();
        if self.knows_endpoint {
            setup.config.endpoint_url = Some(self.server.endpoint());
        }
        setup
    }

    /// Lists the bucket twice with one store.
    async fn list(&self) -> Result<()> {
        let store = self.setup().open("bucket").await?;
        pages(&*store.lister, ListRequest::default()).await?;
        let shown = format!("{store:?} {:?} {:?}", store.objects, store.lister);
        assert!(!shown.contains(self.server.secret_key()), "{shown}");
        pages(&*store.lister, ListRequest::default()).await?;
        store
            .objects
            .put(&path("key"), "x".into())
            .await
            .map_err(|error| Error::from_store(error, Operation::Put, "s3://bucket/key"))?;
        Ok(())
    }

    /// The scope that the last request was signed for.
    fn signed_region(&self) -> String {
        let records = self.server.log().records();
        let authorization = records.last().unwrap().header("authorization").unwrap().to_owned();
        authorization.split('/').nth(2).unwrap().to_owned()
    }

    /// A service that hands these keys out by `answer`, in which KEY_ID and SECRET stand for them.
    fn service(&self, answer: impl Fn(&str) -> Option<&'static str> + Send + 'static) -> Service {
        let (key_id, secret) = (self.server.access_key(), self.server.secret_key());
        Service::start(move |request| {
            Some((STATUS, answer(request)?.replace("KEY_ID", key_id).replace("SECRET", secret)))
        })
    }
}

/// The header is what the metadata service has to send with a token.
const STATUS: &str = "200 OK\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600";

const JSON: &str = r#"{"Version": 1, "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
    "AccessKeyId": "KEY_ID", "SecretAccessKey": "SECRET", "Token": "the-session", "SessionToken": "the-session",
    "Expiration": "2100-01-01T00:00:00Z"}"#;

const STS: &str = "<Credentials><AccessKeyId>KEY_ID</AccessKeyId><SecretAccessKey>SECRET</SecretAccessKey>\
    <SessionToken>the-session</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>";

#[tokio::test]
async fn a_profile_has_keys_region_and_endpoint() {
    let mut home = Home::new()
        .file(".aws/credentials", "[other]\naws_access_key_id = KEY_ID\naws_secret_access_key = SECRET\n")
        .file(".aws/config", "[profile other]\nregion = eu-west-3\nendpoint_url = ENDPOINT\n");
    home.knows_endpoint = false;
    home.profile = Some("other".into());
    home.list().await.unwrap();
    assert_eq!(home.signed_region(), "eu-west-3");
}

#[tokio::test]
async fn the_default_profile_and_a_services_section_are_read() {
    let mut home = Home::new().file(
        "config-elsewhere",
        "[default]\naws_access_key_id = KEY_ID\naws_secret_access_key = SECRET\nservices = mine\n\
         endpoint_url = http://127.0.0.1:1\n[services mine]\ns3 =\n  endpoint_url = ENDPOINT\n",
    );
    home.knows_endpoint = false;
    let config = home.path("config-elsewhere");
    home = home.set("AWS_CONFIG_FILE", config);
    home.list().await.unwrap();
    assert_eq!(home.signed_region(), "us-east-1");
}

#[tokio::test]
async fn keys_in_the_environment_touch_nothing_else() {
    let home = Home::new()
        .file(".aws/config", "[default]\nendpoint_url = http://127.0.0.1:1\ncredential_process = touch HOME/ran\n");
    let trap = Service::start(|_| None);
    let (key_id, secret) = (home.server.access_key(), home.server.secret_key());
    let home = home
        .set("AWS_EC2_METADATA_DISABLED", "false")
        .set("AWS_EC2_METADATA_SERVICE_ENDPOINT", trap.address())
        .set("AWS_CONTAINER_CREDENTIALS_FULL_URI", trap.address())
        .set("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere")
        .set("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        .set("AWS_ENDPOINT_URL_STS", trap.address())
        .set("AWS_ACCESS_KEY_ID", key_id)
        .set("AWS_SECRET_ACCESS_KEY", secret);
    home.list().await.unwrap();
    assert_eq!(trap.take(), [""; 0]);
    assert!(!home.directory.path().join("ran").exists());

    // The file is not even looked at: its endpoint would be taken if it were.
    let mut setup = home.setup();
    setup.config.endpoint_url = None;
    let transport = Transport::new(&setup.config).unwrap();
    let settings = AwsSettings::resolve(&setup.config, &setup.environment, transport.http_client()).await.unwrap();
    assert_eq!((settings.endpoint_url, transport.statistics().requests), (None, 0));
}

#[tokio::test]
async fn opening_a_store_sends_nothing() {
    let home = Home::new();
    let trap = Service::start(|_| None);
    let home = home.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", trap.address());
    home.setup().open("bucket").await.unwrap();
    home.setup().account().await.unwrap();
    assert_eq!(trap.take(), [""; 0]);
    assert!(home.server.log().is_empty());
}

#[tokio::test]
async fn a_process_gives_credentials() {
    let home =
        Home::new().file("keys.json", JSON).file(".aws/config", "[default]\ncredential_process = cat HOME/keys.json\n");
    home.list().await.unwrap();
    assert_eq!(home.server.log().records()[0].header("x-amz-security-token"), Some("the-session"));
}

#[tokio::test]
async fn a_process_that_fails_is_said_without_what_it_was_told() {
    let home = Home::new().file(".aws/config", "[default]\ncredential_process = sh -c 'exit 3' hunter2\n");
    let error = home.list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    assert!(error.to_string().contains("external process exited with code exit status: 3"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    assert!(home.server.log().is_empty());
}

#[tokio::test]
async fn a_container_gives_credentials_once() {
    let home = Home::new();
    let service = home.service(|_| Some(JSON));
    let home = home
        .set("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/get?id=7", service.address()))
        .set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the-token");
    home.list().await.unwrap();
    let asked = service.take();
    assert_eq!(asked.len(), 1, "two listings and a put, one question");
    assert!(asked[0].starts_with("GET /get?id=7 HTTP/1.1"), "{}", asked[0]);
    assert!(asked[0].contains("authorization: the-token"), "{}", asked[0]);
}

#[tokio::test]
async fn a_pod_sends_the_token_of_its_file() {
    let home = Home::new().file("token", "the-pod");
    let service = home.service(|_| Some(JSON));
    let token = home.path("token");
    let home = home
        .set("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.address())
        .set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token);
    home.list().await.unwrap();
    assert!(service.take()[0].contains("authorization: the-pod"));
}

#[tokio::test]
async fn what_a_service_says_wrongly_is_not_shown() {
    let home = Home::new();
    for answer in [r#"{"SecretAccessKey": "hunter2""#, r#"{"SecretAccessKey": "hunter2"}"#, "hunter2"] {
        let service = home.service(move |_| Some(answer));
        let mut setup = home.setup();
        setup.environment.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.address());
        let store = setup.open("bucket").await.unwrap();
        let error = pages(&*store.lister, ListRequest::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

/// Answers STS's call of this name, whose response and result elements are named after it.
fn sts(home: &Home, action: &'static str) -> Service {
    let (key_id, secret) = (home.server.access_key(), home.server.secret_key());
    Service::start(move |request| -> Option<Answer> {
        request.contains(&format!("Action={action}&")).then_some(())?;
        let keys = STS.replace("KEY_ID", key_id).replace("SECRET", secret);
        let xmlns = "https://sts.amazonaws.com/doc/2011-06-15/";
        let body =
            format!(r#"<{action}Response xmlns="{xmlns}"><{action}Result>{keys}</{action}Result></{action}Response>"#);
        Some(("200 OK", body))
    })
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_credentials() {
    let home = Home::new().file("token", "the-identity");
    let (service, token) = (sts(&home, "AssumeRoleWithWebIdentity"), home.path("token"));
    let home = home
        .set("AWS_WEB_IDENTITY_TOKEN_FILE", token)
        .set("AWS_ROLE_ARN", "arn:aws:iam::1:role/reader")
        .set("AWS_ROLE_SESSION_NAME", "the-session-name")
        .set("AWS_ENDPOINT_URL_STS", service.address());
    home.list().await.unwrap();
    let asked = service.take();
    assert_eq!(asked.len(), 1);
    for part in ["WebIdentityToken=the-identity", "RoleSessionName=the-session-name", "role%2Freader"] {
        assert!(asked[0].contains(part), "{part} in {}", asked[0]);
    }
}

#[tokio::test]
async fn a_profile_assumes_a_role_with_the_keys_of_another() {
    let home = Home::new().file(
        ".aws/config",
        "[profile reader]\nrole_arn = arn:aws:iam::1:role/reader\nsource_profile = base\nexternal_id = ext\n\
         [profile base]\naws_access_key_id = BASE\naws_secret_access_key = hunter2\n",
    );
    let service = sts(&home, "AssumeRole");
    let mut home = home.set("AWS_ENDPOINT_URL_STS", service.address());
    home.profile = Some("reader".into());
    home.list().await.unwrap();
    let asked = service.take();
    assert_eq!(asked.len(), 1);
    for part in ["Credential=BASE/", "role%2Freader", "ExternalId=ext"] {
        assert!(asked[0].contains(part), "{part} in {}", asked[0]);
    }
    assert!(!asked[0].contains("hunter2"));
}

#[tokio::test]
async fn a_role_that_may_not_be_assumed_says_why() {
    let home = Home::new().file(
        ".aws/config",
        "[default]\nrole_arn = arn:aws:iam::1:role/reader\nsource_profile = base\n\
         [profile base]\naws_access_key_id = BASE\naws_secret_access_key = hunter2\n",
    );
    let service = Service::start(|_| {
        let error = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>BASE may not assume \
                     the role</Message></Error></ErrorResponse>";
        Some(("403 Forbidden", error.into()))
    });
    let home = home.set("AWS_ENDPOINT_URL_STS", service.address());
    let error = home.list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    assert!(error.to_string().contains("403 Forbidden: AccessDenied: BASE may not"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(service.take().len(), 1, "a refusal is final");
}

#[tokio::test]
async fn a_single_sign_on_session_is_used() {
    // The name of the file is the SHA-1 of the session's name.
    let home = Home::new()
        .file(
            ".aws/config",
            "[default]\nsso_session = my-session\nsso_account_id = 123456789012\nsso_role_name = reader\n\
             [sso-session my-session]\nsso_region = us-east-1\nsso_start_url = https://example.awsapps.com/start\n",
        )
        .file(
            ".aws/sso/cache/9e28173066ce536e277c5fb355efd9c64f398167.json",
            r#"{"startUrl": "https://example.awsapps.com/start", "region": "us-east-1",
                "accessToken": "the-login", "expiresAt": "2100-01-01T00:00:00Z"}"#,
        );
    let service = home.service(|_| {
        Some(
            r#"{"roleCredentials": {"accessKeyId": "KEY_ID", "secretAccessKey": "SECRET", "sessionToken": "the-session",
                "expiration": 4102444800000}}"#,
        )
    });
    let home = home.set("AWS_ENDPOINT_URL_SSO", service.address());
    home.list().await.unwrap();
    let asked = service.take();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("GET /federation/credentials?"), "{}", asked[0]);
    for part in ["role_name=reader", "account_id=123456789012", "x-amz-sso_bearer_token: the-login"] {
        assert!(asked[0].contains(part), "{part} in {}", asked[0]);
    }
}

#[tokio::test]
async fn an_expired_sign_on_is_said() {
    let home = Home::new().file(
        ".aws/config",
        "[default]\nsso_session = my-session\nsso_account_id = 123456789012\nsso_role_name = reader\n\
         [sso-session my-session]\nsso_region = us-east-1\nsso_start_url = https://example.awsapps.com/start\n",
    );
    let error = home.list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    assert!(error.to_string().contains("aws sso login"), "{error}");
}

#[tokio::test]
async fn an_instance_is_asked_by_the_second_version_of_its_service() {
    let home = Home::new();
    let service = home.service(|request| match request.lines().next()? {
        "PUT /latest/api/token HTTP/1.1" => Some("the-token"),
        "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1" => Some("my-role"),
        "GET /latest/meta-data/iam/security-credentials/my-role HTTP/1.1" => Some(JSON),
        _ => None,
    });
    let home =
        home.set("AWS_EC2_METADATA_DISABLED", "false").set("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.address());
    home.list().await.unwrap();
    let asked = service.take();
    assert_eq!(asked.len(), 3, "a token, the role's name, its credentials: {asked:?}");
    assert!(asked[1..].iter().all(|request| request.contains("x-aws-ec2-metadata-token: the-token")), "{asked:?}");
}

#[tokio::test]
async fn credentials_that_are_not_to_be_had_are_listed_with_what_was_tried() {
    let mut home = Home::new();
    home.profile = Some("other".into());
    let error = home.list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    let text = error.to_string();
    for part in ["AWS_ACCESS_KEY_ID", "\"other\"", "~/.aws/config", "container", "instance metadata (disabled)"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(home.server.log().is_empty());
}

#[tokio::test]
async fn a_metadata_service_that_is_not_there_means_no_credentials() {
    let home = Home::new().set("AWS_EC2_METADATA_DISABLED", "false").set(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        format!("http://{}", s3dlio_testkit::fault_proxy::refusing_address()),
    );
    let error = home.list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    assert!(error.to_string().contains("instance metadata;"), "{error}");
}

#[tokio::test]
async fn many_requests_at_once_ask_for_credentials_once() {
    let home = Home::new();
    let service = home.service(|_| Some(JSON));
    let home = home.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", service.address());
    let store = home.setup().open("bucket").await.unwrap();
    let listings = (0..16).map(|_| pages(&*store.lister, ListRequest::default()));
    futures::future::try_join_all(listings).await.unwrap();
    assert_eq!(service.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_metadata_service_that_never_answers_is_given_up_soon() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new()
        .set("AWS_EC2_METADATA_DISABLED", "false")
        .set("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}", silent.local_addr().unwrap()));
    // The paused clock goes on by itself, by what is waited for.
    let start = tokio::time::Instant::now();
    let error = home.list().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error}");
    assert!(start.elapsed() <= std::time::Duration::from_secs(3), "{:?}", start.elapsed());
}

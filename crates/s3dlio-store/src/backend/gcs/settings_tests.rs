use super::*;

type IsExpected = fn(&Source) -> bool;

const ACCOUNT: &str = r#"{"type": "service_account", "project_id": "its-project", "private_key_id": "id",
    "private_key": "hunter2", "client_email": "a@b", "token_uri": "http://tokens/"}"#;
const USER: &str =
    r#"{"type": "authorized_user", "client_id": "c", "client_secret": "hunter2", "refresh_token": "hunter2"}"#;

fn read(variables: &[(&str, &str)]) -> Result<Settings> {
    read_with(&UnifiedLoaderConfig::default(), variables)
}

fn read_with(config: &UnifiedLoaderConfig, variables: &[(&str, &str)]) -> Result<Settings> {
    Settings::read(config, &Environment::from_iter(variables.iter().copied()))
}

#[test]
fn the_first_source_that_is_set_is_used() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    write(".config/gcloud/application_default_credentials.json", USER);
    let account = write("account.json", ACCOUNT);
    let key = ACCOUNT.replace("a@b", "inline");
    // From the last of the order to the first; each is set besides all that come after it.
    let steps: [(&str, &str, IsExpected); 6] = [
        ("UNRELATED", "", |source| matches!(source, Source::Metadata { host } if host == METADATA_HOST)),
        ("HOME", home.path().to_str().unwrap(), |source| matches!(source, Source::AuthorizedUser(_))),
        ("GOOGLE_APPLICATION_CREDENTIALS", &account, |source| matches!(source, Source::ServiceAccount(_))),
        ("CLOUDSDK_AUTH_ACCESS_TOKEN", "t", |source| *source == Source::AccessToken(Secret::new("t"))),
        (
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            &key,
            |source| matches!(source, Source::ServiceAccount(account) if account.email == "inline"),
        ),
        (
            "GOOGLE_SERVICE_ACCOUNT",
            &account,
            |source| matches!(source, Source::ServiceAccount(account) if account.email == "a@b"),
        ),
    ];
    let mut variables = Vec::new();
    for (name, value, expected) in steps {
        variables.push((name, value));
        let source = read(&variables).unwrap().source;
        assert!(expected(&source), "{source:?} with {name}");
    }
    let anonymous = UnifiedLoaderConfig { anonymous: true, ..UnifiedLoaderConfig::default() };
    assert_eq!(read_with(&anonymous, &variables).unwrap().source, Source::Anonymous);
    variables.push(("STORAGE_EMULATOR_HOST", "localhost:4443"));
    assert_eq!(read(&variables).unwrap().source, Source::Anonymous);
}

#[test]
fn the_emulator_is_the_endpoint_with_or_without_a_scheme() {
    for (host, endpoint) in [("localhost:4443", "http://localhost:4443"), ("https://gcs/", "https://gcs")] {
        let settings = read(&[("STORAGE_EMULATOR_HOST", host)]).unwrap();
        assert_eq!((settings.endpoint.as_str(), settings.source), (endpoint, Source::Anonymous));
    }
    // The configuration takes the emulator's address over; another address is meant for real.
    let at = |endpoint: &str| {
        let config = UnifiedLoaderConfig { endpoint_url: Some(endpoint.into()), ..UnifiedLoaderConfig::default() };
        let variables = [("STORAGE_EMULATOR_HOST", "localhost:4443"), ("CLOUDSDK_AUTH_ACCESS_TOKEN", "t")];
        read_with(&config, &variables).unwrap()
    };
    assert_eq!(at("http://localhost:4443/").source, Source::Anonymous);
    assert_eq!(at("http://other:1").source, Source::AccessToken(Secret::new("t")));
    assert_eq!(read(&[("CLOUDSDK_AUTH_ACCESS_TOKEN", "t")]).unwrap().endpoint, SERVICE);
}

#[test]
fn the_project_is_the_first_that_is_named() {
    let project = |variables: &[(&str, &str)]| read(variables).unwrap().project;
    let mut variables = vec![("GOOGLE_SERVICE_ACCOUNT_KEY", ACCOUNT)];
    assert_eq!(project(&variables).as_deref(), Some("its-project"));
    for name in ["CLOUDSDK_CORE_PROJECT", "GCLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT"] {
        variables.push((name, name));
        assert_eq!(project(&variables).as_deref(), Some(name));
    }
    assert_eq!(project(&[]), None);
}

#[test]
fn a_file_that_is_no_credentials_is_an_error_without_its_secrets() {
    let error = read(&[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/at-all.json")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("/nowhere/at-all.json cannot be read"), "{error}");
    for (json, reason) in [
        ("hunter2", "not the JSON of Google credentials"),
        (r#"{"private_key": "hunter2"}"#, r#"has no "client_email""#),
        (r#"{"type": "authorized_user", "client_secret": "hunter2"}"#, r#"has no "client_id""#),
        (r#"{"type": "external_account", "client_secret": "hunter2"}"#, "\"external_account\" are not supported"),
        (r#"{"private_key": {"hunter2": 1}}"#, "not the JSON of Google credentials"),
    ] {
        let error = read(&[("GOOGLE_SERVICE_ACCOUNT_KEY", json)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn an_endpoint_that_is_no_address_is_an_error() {
    for endpoint in ["nonsense", "ftp://h", "http://h?sig=hunter2", "http://u:hunter2@h"] {
        let config = UnifiedLoaderConfig { endpoint_url: Some(endpoint.into()), ..UnifiedLoaderConfig::default() };
        let error = read_with(&config, &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{endpoint}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn no_secret_is_shown() {
    for json in [ACCOUNT, USER] {
        assert!(!format!("{:?}", read(&[("GOOGLE_SERVICE_ACCOUNT_KEY", json)]).unwrap()).contains("hunter2"));
    }
    assert!(!format!("{:?}", read(&[("GOOGLE_OAUTH_ACCESS_TOKEN", "hunter2")]).unwrap()).contains("hunter2"));
}

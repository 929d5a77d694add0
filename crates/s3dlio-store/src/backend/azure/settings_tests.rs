use super::*;

type IsExpected = fn(&Source) -> bool;

fn read(variables: &[(&str, &str)]) -> Result<Settings> {
    read_with(&UnifiedLoaderConfig::default(), variables)
}

fn read_with(config: &UnifiedLoaderConfig, variables: &[(&str, &str)]) -> Result<Settings> {
    Settings::read(config, &Environment::from_iter(variables.iter().copied()), None)
}

fn account(variables: &[(&str, &str)]) -> Option<String> {
    read(variables).unwrap().account
}

fn url(settings: &Settings, account: &str) -> String {
    settings.account_url(account).unwrap().to_string()
}

const PRINCIPAL: [(&str, &str); 3] =
    [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "hunter2")];

#[test]
fn the_first_source_that_is_set_is_used() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().to_str().unwrap();
    std::fs::write(home.path().join("azureProfile.json"), "{}").unwrap();
    std::fs::write(home.path().join("az"), "").unwrap();
    // From the last of the order to the first; each is set besides all that come after it.
    let steps: [(&[(&str, &str)], IsExpected); 8] = [
        (&[], |source| matches!(source, Source::InstanceIdentity { client: None, .. })),
        (&[("AZURE_CONFIG_DIR", directory), ("PATH", directory)], |source| matches!(source, Source::Cli { .. })),
        (&[("IDENTITY_ENDPOINT", "http://i/")], |source| matches!(source, Source::ServiceIdentity { .. })),
        (&[("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_FEDERATED_TOKEN_FILE", "/f")], |source| {
            matches!(source, Source::WorkloadIdentity { .. })
        }),
        (&[("AZURE_CLIENT_SECRET", "s")], |source| matches!(source, Source::ServicePrincipal { .. })),
        (&[("AZURE_STORAGE_SAS_TOKEN", "sig=1")], |source| matches!(source, Source::SharedAccessSignature(_))),
        (&[("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")], |source| *source == Source::SharedKey(Secret::new("a2V5"))),
        (&[("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=b3RoZXI=")], |source| {
            *source == Source::SharedKey(Secret::new("b3RoZXI="))
        }),
    ];
    let mut variables = Vec::new();
    for (added, expected) in steps {
        variables.extend_from_slice(added);
        let source = read(&variables).unwrap().source;
        assert!(expected(&source), "{source:?} with {added:?}");
    }
    let anonymous = UnifiedLoaderConfig { anonymous: true, ..UnifiedLoaderConfig::default() };
    assert_eq!(read_with(&anonymous, &variables).unwrap().source, Source::Anonymous);
}

#[test]
fn the_account_is_the_first_that_is_named() {
    assert_eq!(account(&[]), None);
    assert_eq!(account(&[("AZURE_STORAGE_USE_EMULATOR", "true")]).as_deref(), Some("devstoreaccount1"));
    let mut variables = vec![("AZURE_STORAGE_ACCOUNT", "one")];
    assert_eq!(account(&variables).as_deref(), Some("one"));
    variables.push(("AZURE_STORAGE_ACCOUNT_NAME", "two"));
    assert_eq!(account(&variables).as_deref(), Some("two"));
    variables.push(("AZURE_STORAGE_CONNECTION_STRING", "AccountName=three;AccountKey=a2V5"));
    assert_eq!(account(&variables).as_deref(), Some("three"));
    for (endpoint, expected) in [
        ("http://127.0.0.1:10000/local", Some("local")),
        ("https://cloud.blob.core.windows.net", Some("cloud")),
        ("https://lake.dfs.core.usgovcloudapi.net/", Some("lake")),
        ("http://127.0.0.1:10000", None),
    ] {
        let config = UnifiedLoaderConfig { endpoint_url: Some(endpoint.into()), ..UnifiedLoaderConfig::default() };
        assert_eq!(read_with(&config, &[]).unwrap().account.as_deref(), expected, "{endpoint}");
    }
}

#[test]
fn the_address_of_an_account_follows_the_endpoint() {
    let at = |endpoint: &str| {
        let config = UnifiedLoaderConfig { endpoint_url: Some(endpoint.into()), ..UnifiedLoaderConfig::default() };
        read_with(&config, &[("AZURE_STORAGE_ACCOUNT", "acc"), PRINCIPAL[0], PRINCIPAL[1], PRINCIPAL[2]]).unwrap()
    };
    assert_eq!(url(&read(&PRINCIPAL).unwrap(), "acc"), "https://acc.blob.core.windows.net/");
    assert_eq!(url(&at("http://127.0.0.1:10000"), "acc"), "http://127.0.0.1:10000/acc");
    assert_eq!(url(&at("http://azurite:10000/"), "acc"), "http://azurite:10000/acc");
    assert_eq!(url(&at("http://127.0.0.1:10000/acc/"), "acc"), "http://127.0.0.1:10000/acc");
    assert_eq!(url(&at("http://127.0.0.1:10000/acc"), "other"), "http://127.0.0.1:10000/other");
    assert_eq!(url(&at("https://acc.blob.core.windows.net"), "acc"), "https://acc.blob.core.windows.net/");
    assert_eq!(url(&at("https://acc.blob.core.windows.net"), "other"), "https://other.blob.core.windows.net/");
    for endpoint in ["ftp://host", "nonsense", "https://h/?sig=hunter2", "https://u:hunter2@h/"] {
        let error = at(endpoint).account_url("acc").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{endpoint}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[test]
fn every_field_of_a_connection_string_is_read() {
    let of = |text| read(&[("AZURE_STORAGE_CONNECTION_STRING", text)]).unwrap();
    let plain =
        of("DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5PT0=;EndpointSuffix=core.chinacloudapi.cn");
    assert_eq!(plain.source, Source::SharedKey(Secret::new("a2V5PT0=")));
    assert_eq!(url(&plain, "acc"), "https://acc.blob.core.chinacloudapi.cn/");
    assert_eq!(
        url(&of("DefaultEndpointsProtocol=http;AccountName=a;AccountKey=k"), "a"),
        "http://a.blob.core.windows.net/"
    );

    let signed = of("BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=2&sig=x%3D;");
    assert_eq!(signed.account.as_deref(), Some("acc"));
    assert_eq!(signed.source, Source::SharedAccessSignature(Secret::new("sv=2&sig=x%3D")));

    let emulator = of("UseDevelopmentStorage=true");
    assert_eq!(emulator.source, Source::SharedKey(Secret::new(EMULATOR_KEY)));
    assert_eq!(url(&emulator, "devstoreaccount1"), "http://127.0.0.1:10000/devstoreaccount1");
    let elsewhere = of("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite");
    assert_eq!(url(&elsewhere, "devstoreaccount1"), "http://azurite:10000/devstoreaccount1");

    // Without a key the string says where, and the other sources say who.
    let principal =
        read(&[&PRINCIPAL[..], &[("AZURE_STORAGE_CONNECTION_STRING", "AccountName=acc")]].concat()).unwrap();
    assert!(matches!(principal.source, Source::ServicePrincipal { .. }));
}

#[test]
fn a_connection_string_that_cannot_be_read_is_an_error_without_its_secret() {
    for text in ["hunter2", "AccountKey=hunter2", "DefaultEndpointsProtocol=gopher;AccountName=a;AccountKey=hunter2"] {
        let error = read(&[("AZURE_STORAGE_CONNECTION_STRING", text)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn half_of_a_principal_is_an_error_that_names_the_other_half() {
    let error = read(&[("AZURE_CLIENT_SECRET", "hunter2"), ("AZURE_CLIENT_ID", "c")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("AZURE_CLIENT_SECRET is set, but not AZURE_TENANT_ID"), "{error}");
    // An id alone says which managed identity is meant.
    let source = read(&[("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t")]).unwrap().source;
    assert!(matches!(source, Source::InstanceIdentity { client: Some(client), .. } if client == "c"));
}

#[test]
fn a_key_of_one_account_is_not_used_for_another() {
    let settings = read(&[("AZURE_STORAGE_ACCOUNT", "mine"), ("AZURE_STORAGE_KEY", "a2V5")]).unwrap();
    let error = settings.account_url("theirs").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("is of the account mine, not of theirs"), "{error}");
}

#[test]
fn the_emulators_key_is_known_for_its_account_alone() {
    let source = |variables: &[(&str, &str)], named| {
        Settings::read(&UnifiedLoaderConfig::default(), &Environment::from_iter(variables.iter().copied()), named)
            .unwrap()
            .source
    };
    let emulators = Source::SharedKey(Secret::new(EMULATOR_KEY));
    assert_eq!(source(&[("AZURE_STORAGE_USE_EMULATOR", "1")], None), emulators);
    assert_eq!(source(&[], Some("devstoreaccount1")), emulators);
    assert_ne!(source(&[], Some("other")), emulators);
}

#[test]
fn authorities_can_be_redirected() {
    let authority = |host: &str| {
        let variables = [&PRINCIPAL[..], &[("AZURE_AUTHORITY_HOST", host)]].concat();
        match read(&variables).unwrap().source {
            Source::ServicePrincipal { authority, .. } => authority,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(authority("login.example"), "https://login.example");
    assert_eq!(authority("http://127.0.0.1:1/"), "http://127.0.0.1:1");
}

#[test]
fn no_secret_is_shown() {
    for variables in [
        &PRINCIPAL[..],
        &[("AZURE_STORAGE_KEY", "hunter2")],
        &[("AZURE_STORAGE_SAS_TOKEN", "sig=hunter2")],
        &[("IDENTITY_ENDPOINT", "http://i/"), ("IDENTITY_HEADER", "hunter2")],
        &[("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=hunter2")],
    ] {
        assert!(!format!("{:?}", read(variables).unwrap()).contains("hunter2"));
    }
}
